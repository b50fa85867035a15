package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
	view "github.com/vault-authz/vault-authz/internal/state"
)

const declaredConsumer = "0a6b7f44-9a35-4c6a-8f0e-2f6f8a0b1c2d"

func declaredEntities() Declared {
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default = "fixed", "fixed", true
	return Declared{
		Consumers: []authz.Consumer{{ID: declaredConsumer, Username: "dora", Groups: []string{"staff"}}},
		Policies:  []authz.Policy{p},
		Vaults:    []VaultObject{{Name: "fixed", Protocol: "https", Host: "vault.internal", Port: 8200, Mount: "kv", KV: api.KV2}},
	}
}

// declaredSelecting declares a policy that selects by host.
func declaredSelecting() Declared {
	d := declaredEntities()
	d.Policies[0].Hosts = []string{"api"}
	return d
}

// declaredNamed declares policies with these names.
func declaredNamed(names ...string) Declared {
	d := declaredEntities()
	p := d.Policies[0]
	d.Policies, p.Default = nil, false
	for _, p.Name = range names {
		d.Policies = append(d.Policies, p)
	}
	return d
}

func declaring(_ *Config, d *Dependencies) { d.Declared = declaredEntities() }

// snapshot holds that what Entities returns is what the core takes.
func snapshot(t *testing.T, state State) {
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

func (anyConsumer) ByID(id string) (authz.Consumer, error) {
	return authz.Consumer{ID: id, Username: id}, nil
}

func (anyConsumer) ByUsername(name string) (authz.Consumer, error) {
	return authz.Consumer{ID: testID(1), Username: name}, nil
}

type nobody struct{ authz.Source }

func rec(kind, id string, version int, document string) view.Record {
	return view.Record{Kind: kind, ID: id, Version: version, Document: []byte(fmt.Sprintf(document, id))}
}

func testID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func policyDocument(name, vaultID, more string) string {
	return `{"id":"%s","name":"` + name + `","vault":{"id":"` + vaultID + `"},"access_token_name":["access_token"],"secret_token_name":["secret_token"],"hide_credentials":true,"run_on_preflight":true,"preflight":"strict","on_error":"deny"` + more + `}`
}

func vaultDocument(name string) string {
	return `{"id":"%s","name":"` + name + `","protocol":"http","host":"h","port":8200,"mount":"m","vault_token":"t","kv":"v1"}`
}

func TestEntitiesOfWhatTheAPIWrote(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=b"))
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=a"))
	b.must(201, b.form("POST", "/plugins", "name=vault-auth&config.vault.name=kong-auth&config.anonymous=bob"))
	b.must(201, b.form("POST", "/plugins", "name=acl&config.allow=a&config.hide_groups_header=true"))
	b.must(201, b.json("POST", "/policies", `{"name":"own","vault":"kong-auth","paths":["/own"],"acl":{"deny":["x"]}}`))
	state, err := Entities(declaredEntitiesWithoutPolicies(), b.store.view())
	if err != nil || len(state.Problems) != 0 {
		t.Fatalf("got %v and problems %v, want neither", err, state.Problems)
	}
	snapshot(t, state)
	stored := Consumers(declaredEntities(), b.store.view())
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

func declaredEntitiesWithoutPolicies() Declared {
	d := declaredEntities()
	d.Policies = nil
	return d
}

func TestEntitiesThatDoNotFitTogetherAreResolvedToTheSideThatDenies(t *testing.T) {
	t.Parallel()
	vault, alice := testID(1), testID(2)
	good := []view.Record{
		rec(view.KindVaults, vault, 3, vaultDocument("v")),
		rec(view.KindConsumers, alice, 1, `{"id":"%s","username":"alice"}`),
	}
	for _, tt := range []struct {
		name     string
		declared Declared
		records  []view.Record
		problem  string
		// count is how many problems there are, one if it is not said.
		count int
		check func(State) error
	}{
		{name: "a policy whose vault object is gone stays and is unavailable", records: []view.Record{rec(view.KindPolicies, testID(3), 1, policyDocument("p", testID(9), ""))}, problem: "not there", check: func(s State) error {
			lost := s.Vaults[len(s.Vaults)-1]
			if len(s.Policies) != 1 || !lost.Lost || s.Policies[0].Vault != lost.Name {
				return fmt.Errorf("policies %+v, vaults %+v", s.Policies, s.Vaults)
			}
			return nil
		}},
		{name: "a vault object that cannot be read", records: []view.Record{{Kind: view.KindVaults, ID: testID(4), Document: []byte("x")}}, problem: "its policies are answered with unavailable"},
		{name: "an anonymous consumer that is gone", records: []view.Record{rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, `,"anonymous":"ghost"`))}, problem: "denied", check: func(s State) error {
			if s.Policies[0].Anonymous != "" {
				return fmt.Errorf("anonymous is %q", s.Policies[0].Anonymous)
			}
			return nil
		}},
		{name: "two defaults", records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, `,"default":true`)),
			rec(view.KindPolicies, testID(4), 1, policyDocument("q", vault, `,"default":true`)),
		}, problem: "another default", count: 2, check: func(s State) error {
			if s.Policies[0].Default || s.Policies[1].Default {
				return fmt.Errorf("one of %+v is the default by chance", s.Policies)
			}
			return nil
		}},
		{name: "two policies that tie", records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("strict", vault, `,"hosts":["api"],"paths":["/admin"]`)),
			rec(view.KindPolicies, testID(4), 1, policyDocument("open", vault, `,"hosts":["api"],"paths":["/admin"]`)),
		}, problem: `policies "open" and "strict" tie: they have host "api", path "/admin" and priority 0 in common`},
		{name: "a policy that ties with a declared one", declared: declaredSelecting(), records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("strict", vault, `,"hosts":["api"]`)),
		}, problem: `policies "fixed" and "strict" tie`},
		{name: "two policies of one name", records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, testID(4), 1, policyDocument("p", vault, "")),
		}, problem: "goes by its id", count: 2, check: func(s State) error {
			if s.Policies[0].Name == "p" || s.Policies[1].Name == "p" {
				return fmt.Errorf("one of %+v has the name by chance", s.Policies)
			}
			return nil
		}},
		{name: "the id of a policy is the name of a declared one", declared: declaredNamed(testID(3)), records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, `,"hosts":["api"]`)),
			rec(view.KindPolicies, testID(4), 1, policyDocument("q", vault, "")),
		}, problem: "its id is the name of another one", check: func(s State) error {
			if p := s.Policies[1]; len(s.Policies) != 3 || p.Name != "p" || p.ID != "" || len(p.Hosts) != 1 {
				return fmt.Errorf("policies %+v", s.Policies)
			}
			return nil
		}},
		{name: "both the id and the name of a policy are names of others", declared: declaredNamed(testID(3), "p"), records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, testID(4), 1, policyDocument(testID(3)+" (stored)", vault, "")),
		}, problem: "goes by its id", count: 2},
		{name: "the id of a policy is the name of a stored one", records: []view.Record{
			rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, testID(4), 1, policyDocument(testID(3), vault, "")),
		}, problem: "its id is the name of another one", count: 2},
		{name: "a declared default", declared: declaredEntities(), records: []view.Record{rec(view.KindPolicies, testID(3), 1, policyDocument("p", vault, `,"default":true`))}, problem: "another default"},
		{name: "two vault objects of one name", records: []view.Record{rec(view.KindVaults, testID(4), 1, vaultDocument("v"))}, problem: "goes by its id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			state, err := Entities(tt.declared, view.NewView(append(good[:len(good):len(good)], tt.records...)))
			if err != nil {
				t.Fatal(err)
			}
			if len(state.Problems) != max(1, tt.count) || !strings.Contains(state.Problems[0].Error(), tt.problem) {
				t.Errorf("problems: got %v, want %d with %q", state.Problems, max(1, tt.count), tt.problem)
			}
			if tt.check != nil {
				if err := tt.check(state); err != nil {
					t.Error(err)
				}
			}
			snapshot(t, state)
		})
	}
}

func TestEntitiesFailWhereLeavingOutARecordCouldLetARequestIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		r    view.Record
	}{
		{"a policy that cannot be read", view.Record{Kind: view.KindPolicies, ID: testID(1), Document: []byte("x")}},
		{"a policy that is not valid", rec(view.KindPolicies, testID(1), 1, `{"id":"%s","name":"p","preflight":"later"}`)},
		{"a plugin of a later version", rec(view.KindPolicies, testID(1), 1, `{"id":"%s","plugin":"later"}`)},
		{"a record of another id", view.Record{Kind: view.KindPolicies, ID: testID(1), Document: []byte(`{"id":"` + testID(2) + `"}`)}},
	} {
		if _, err := Entities(Declared{}, view.NewView([]view.Record{tt.r})); err == nil {
			t.Errorf("%s: got no error", tt.name)
		}
	}
}

// A record that an earlier version wrote does not have the options that came later.
func TestAStoredPolicyHasTheDefaultsOfOptionsThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	state, err := Entities(Declared{}, view.NewView([]view.Record{rec(view.KindPolicies, testID(1), 1, `{"id":"%s","name":"p","access_token_name":["key"]}`)}))
	if err != nil {
		t.Fatal(err)
	}
	want := authz.DefaultPolicy()
	want.ID, want.Name, want.AccessTokenNames, want.Vault = testID(1), "p", []string{"key"}, state.Policies[0].Vault
	if diff := cmp.Diff([]authz.Policy{want}, state.Policies); diff != "" {
		t.Errorf("want (-) and got (+)\n%s", diff)
	}
}

func TestAVaultTokenIsNeverPrinted(t *testing.T) {
	t.Parallel()
	v := VaultObject{Name: "v", Token: redact.New(vaultToken)}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(raw), fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v.Token, v.Token, v.Token)} {
		if strings.Contains(text, vaultToken) || !strings.Contains(text, redact.Text) {
			t.Errorf("got %q, want the mask and no token", text)
		}
	}
}

func TestDeclaredIDsAreUUIDsThatDependOnKindAndName(t *testing.T) {
	t.Parallel()
	a, b, c := DeclaredID("vaults", "x"), DeclaredID("vaults", "y"), DeclaredID("policies", "x")
	if !authz.IsUUID(a) || a != DeclaredID("vaults", "x") || a == b || a == c {
		t.Errorf("got %q, %q, %q, want three UUIDs", a, b, c)
	}
}

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
