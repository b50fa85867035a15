package admin

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
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
	snapshot(t, state)
	stored := entities.Consumers(declaredEntities(), b.store.view())
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
	d := declaredEntities()
	d.Policies = nil
	return d
}

func declaring(_ *Config, d *Dependencies) { d.Declared = declaredEntities() }

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
	id := testID(5)
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Declared = declaredNamed("fixed", id)
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
		{name: "another id", method: "POST", path: "/policies", body: `{"id":"` + testID(6) + `","name":"p","vault":"fixed"}`, status: 201},
	} {
		s.contentType = typeJSON
		s.run(b)
	}
}

const declaredConsumer = "0a6b7f44-9a35-4c6a-8f0e-2f6f8a0b1c2d"

func declaredEntities() entities.Declared {
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default = "fixed", "fixed", true
	return entities.Declared{
		Consumers: []authz.Consumer{{ID: declaredConsumer, Username: "dora", Groups: []string{"staff"}}},
		Policies:  []authz.Policy{p},
		Vaults:    []entities.VaultObject{{Name: "fixed", Protocol: "https", Host: "vault.internal", Port: 8200, Mount: "kv", KV: api.KV2}},
	}
}

// declaredSelecting declares a policy that selects by host.
func declaredSelecting() entities.Declared {
	d := declaredEntities()
	d.Policies[0].Hosts = []string{"api"}
	return d
}

// declaredNamed declares policies with these names.
func declaredNamed(names ...string) entities.Declared {
	d := declaredEntities()
	p := d.Policies[0]
	d.Policies, p.Default = nil, false
	for _, p.Name = range names {
		d.Policies = append(d.Policies, p)
	}
	return d
}

// snapshot holds that what Entities returns is what the core takes.
func snapshot(t *testing.T, state entities.State) {
	t.Helper()
	sources := map[string]authz.Source{}
	for _, v := range state.Vaults {
		sources[v.Name] = nobody{}
	}
	if _, err := authz.NewSnapshotOf(state.Policies, everyone(t), sources); err != nil {
		t.Errorf("the core refuses the entities: %v", err)
	}
}

// everyone is a directory in which every consumer is there.
func everyone(t *testing.T) *authz.Directory {
	t.Helper()
	d, err := authz.NewDirectory(nil, anyConsumer{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type anyConsumer struct{}

type nobody struct{ authz.Source }

func testID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func (anyConsumer) ByID(id string) (authz.Consumer, error) {
	return authz.Consumer{ID: id, Username: id}, nil
}

func (anyConsumer) ByUsername(name string) (authz.Consumer, error) {
	return authz.Consumer{ID: testID(1), Username: name}, nil
}
