package admin

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
)

func TestEntitiesOfWhatTheAPIWrote(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=b"))
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=a"))
	b.must(201, b.form("POST", "/plugins", "name=vault-auth&config.vault.name=kong-auth&config.anonymous=bob"))
	b.must(201, b.form("POST", "/plugins", "name=acl&config.allow=a&config.hide_groups_header=true"))
	b.must(201, b.json("POST", "/policies", `{"name":"own","vault":"kong-auth","paths":["/own"],"acl":{"deny":["x"]}}`))
	state, err := entities.Build(declaredEntitiesWithoutPolicies(), b.store.view())
	if err != nil || len(state.Problems) != 0 {
		t.Fatalf("got %v and problems %v, want neither", err, state.Problems)
	}
	entitiestest.Snapshot(t, state)
	stored := entities.Consumers(entitiestest.Declared(), b.store.view())
	for name, want := range map[string][]string{"alice": {"a", "b"}, "bob": nil} {
		c, err := stored.ByUsername(name)
		if diff := cmp.Diff(want, c.Groups); diff != "" || err != nil {
			t.Errorf("groups of %s: %v, want (-), got (+):\n%s", name, err, diff)
		}
	}
	byName := map[string]authz.Policy{}
	for _, p := range state.Policies {
		p.ID = ""
		byName[p.Name] = p
	}
	global := authz.DefaultPolicy()
	global.Name, global.Vault, global.Default, global.Anonymous = "vault-auth", "kong-auth", true, "bob"
	global.Allow, global.HideGroupsHeader = []string{"a"}, true
	own := authz.DefaultPolicy()
	own.Name, own.Vault, own.Paths, own.Deny = "own", "kong-auth", []string{"/own"}, []string{"x"}
	if diff := cmp.Diff(map[string]authz.Policy{"vault-auth": global, "own": own}, byName); diff != "" {
		t.Errorf("policies: want (-), got (+):\n%s", diff)
	}
}

func declaredEntitiesWithoutPolicies() entities.Declared {
	d := entitiestest.Declared()
	d.Policies = nil
	return d
}

func declaring(_ *Config, d *Dependencies) { d.Declared = entitiestest.Declared() }

// A policy of the file is no acl plugin, and must not stand in the way of one.
func TestAnACLPluginCanBeMadeBesideDeclaredPolicies(t *testing.T) {
	t.Parallel()
	b := newBench(t, declaring)
	b.must(201, b.form("POST", "/plugins", "name=acl&config.allow=a"))
	b.must(409, b.form("POST", "/plugins", "name=acl&config.allow=b"))
}

// A reference to the declared entity would find the other one, or both.
func TestAnIDThatADeclaredEntityHasForItsNameIsTaken(t *testing.T) {
	t.Parallel()
	id := entitiestest.ID(5)
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Declared = entitiestest.DeclaredNamed("fixed", id)
		d.Declared.Vaults = append(d.Declared.Vaults, d.Declared.Vaults[0])
		d.Declared.Vaults[1].Name = id
		d.Declared.Consumers[0].Username = id
	})
	taken := []string{"primary key violation"}
	for _, s := range []step{
		{name: "policy", method: "POST", path: "/policies", body: `{"id":"` + id + `","name":"p","vault":"fixed"}`, status: 400, want: taken},
		{name: "policy by its path", method: "PUT", path: "/policies/" + id, body: `{"name":"p","vault":"fixed"}`, status: 400, want: taken},
		{name: "consumer", method: "POST", path: "/consumers", body: `{"id":"` + id + `","username":"p"}`, status: 400, want: taken},
		{name: "vault object", method: "POST", path: "/vault-auth", body: `{"id":"` + id + `","name":"p","mount":"m","host":"h","port":8200,"protocol":"http","vault_token":"` + vaultToken + `"}`, status: 400, want: taken},
		{name: "another id", method: "POST", path: "/policies", body: `{"id":"` + entitiestest.ID(6) + `","name":"p","vault":"fixed"}`, status: 201},
	} {
		s.contentType = typeJSON
		s.run(b)
	}
}
