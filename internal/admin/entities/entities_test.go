package entities_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
	"github.com/vault-authz/vault-authz/internal/redact"
	view "github.com/vault-authz/vault-authz/internal/state"
)

func rec(kind, id string, version int, document string) view.Record {
	return view.Record{Kind: kind, ID: id, Version: version, Document: []byte(fmt.Sprintf(document, id))}
}

func policyDocument(name, vaultID, more string) string {
	return `{"id":"%s","name":"` + name + `","vault":{"id":"` + vaultID + `"},"access_token_name":["access_token"],"secret_token_name":["secret_token"],"hide_credentials":true,"run_on_preflight":true,"preflight":"strict","on_error":"deny"` + more + `}`
}

func vaultDocument(name string) string {
	return `{"id":"%s","name":"` + name + `","protocol":"http","host":"h","port":8200,"mount":"m","vault_token":"t","kv":"v1"}`
}

func TestEntitiesThatDoNotFitTogetherAreResolvedToTheSideThatDenies(t *testing.T) {
	t.Parallel()
	vault, alice := entitiestest.ID(1), entitiestest.ID(2)
	good := []view.Record{
		rec(view.KindVaults, vault, 3, vaultDocument("v")),
		rec(view.KindConsumers, alice, 1, `{"id":"%s","username":"alice"}`),
	}
	for _, tt := range []struct {
		name     string
		declared entities.Declared
		records  []view.Record
		problem  string
		// count is how many problems there are, one if it is not said.
		count int
		check func(entities.State) error
	}{
		{name: "a policy whose vault object is gone stays and is unavailable", records: []view.Record{rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", entitiestest.ID(9), ""))}, problem: "not there", check: func(s entities.State) error {
			lost := s.Vaults[len(s.Vaults)-1]
			if len(s.Policies) != 1 || !lost.Lost || s.Policies[0].Vault != lost.Name {
				return fmt.Errorf("policies %+v, vaults %+v", s.Policies, s.Vaults)
			}
			return nil
		}},
		{name: "a vault object that cannot be read", records: []view.Record{{Kind: view.KindVaults, ID: entitiestest.ID(4), Document: []byte("x")}}, problem: "its policies are answered with unavailable"},
		{name: "an anonymous consumer that is gone", records: []view.Record{rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, `,"anonymous":"ghost"`))}, problem: "denied", check: func(s entities.State) error {
			if s.Policies[0].Anonymous != "" {
				return fmt.Errorf("anonymous is %q", s.Policies[0].Anonymous)
			}
			return nil
		}},
		{name: "two defaults", records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, `,"default":true`)),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument("q", vault, `,"default":true`)),
		}, problem: "another default", count: 2, check: func(s entities.State) error {
			if s.Policies[0].Default || s.Policies[1].Default {
				return fmt.Errorf("one of %+v is the default by chance", s.Policies)
			}
			return nil
		}},
		{name: "two policies that tie", records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("strict", vault, `,"hosts":["api"],"paths":["/admin"]`)),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument("open", vault, `,"hosts":["api"],"paths":["/admin"]`)),
		}, problem: `policies "open" and "strict" tie: they have host "api", path "/admin" and priority 0 in common`},
		{name: "a policy that ties with a declared one", declared: entitiestest.DeclaredSelecting(), records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("strict", vault, `,"hosts":["api"]`)),
		}, problem: `policies "fixed" and "strict" tie`},
		{name: "two policies of one name", records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument("p", vault, "")),
		}, problem: "goes by its id", count: 2, check: func(s entities.State) error {
			if s.Policies[0].Name == "p" || s.Policies[1].Name == "p" {
				return fmt.Errorf("one of %+v has the name by chance", s.Policies)
			}
			return nil
		}},
		{name: "the id of a policy is the name of a declared one", declared: entitiestest.DeclaredNamed(entitiestest.ID(3)), records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, `,"hosts":["api"]`)),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument("q", vault, "")),
		}, problem: "its id is the name of another one", check: func(s entities.State) error {
			if p := s.Policies[1]; len(s.Policies) != 3 || p.Name != "p" || p.ID != "" || len(p.Hosts) != 1 {
				return fmt.Errorf("policies %+v", s.Policies)
			}
			return nil
		}},
		{name: "both the id and the name of a policy are names of others", declared: entitiestest.DeclaredNamed(entitiestest.ID(3), "p"), records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument(entitiestest.ID(3)+" (stored)", vault, "")),
		}, problem: "goes by its id", count: 2},
		{name: "the id of a policy is the name of a stored one", records: []view.Record{
			rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, "")),
			rec(view.KindPolicies, entitiestest.ID(4), 1, policyDocument(entitiestest.ID(3), vault, "")),
		}, problem: "its id is the name of another one", count: 2},
		{name: "a declared default", declared: entitiestest.Declared(), records: []view.Record{rec(view.KindPolicies, entitiestest.ID(3), 1, policyDocument("p", vault, `,"default":true`))}, problem: "another default"},
		{name: "two vault objects of one name", records: []view.Record{rec(view.KindVaults, entitiestest.ID(4), 1, vaultDocument("v"))}, problem: "goes by its id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			state, err := entities.Build(tt.declared, view.NewView(append(good[:len(good):len(good)], tt.records...)))
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
			entitiestest.Snapshot(t, state)
		})
	}
}

func TestEntitiesFailWhereLeavingOutARecordCouldLetARequestIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		r    view.Record
	}{
		{"a policy that cannot be read", view.Record{Kind: view.KindPolicies, ID: entitiestest.ID(1), Document: []byte("x")}},
		{"a policy that is not valid", rec(view.KindPolicies, entitiestest.ID(1), 1, `{"id":"%s","name":"p","preflight":"later"}`)},
		{"a plugin of a later version", rec(view.KindPolicies, entitiestest.ID(1), 1, `{"id":"%s","plugin":"later"}`)},
		{"a record of another id", view.Record{Kind: view.KindPolicies, ID: entitiestest.ID(1), Document: []byte(`{"id":"` + entitiestest.ID(2) + `"}`)}},
	} {
		if _, err := entities.Build(entities.Declared{}, view.NewView([]view.Record{tt.r})); err == nil {
			t.Errorf("%s: got no error", tt.name)
		}
	}
}

// A record that an earlier version wrote does not have the options that came later.
func TestAStoredPolicyHasTheDefaultsOfOptionsThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	state, err := entities.Build(entities.Declared{}, view.NewView([]view.Record{rec(view.KindPolicies, entitiestest.ID(1), 1, `{"id":"%s","name":"p","access_token_name":["key"]}`)}))
	if err != nil {
		t.Fatal(err)
	}
	want := authz.DefaultPolicy()
	want.ID, want.Name, want.AccessTokenNames, want.Vault = entitiestest.ID(1), "p", []string{"key"}, state.Policies[0].Vault
	if diff := cmp.Diff([]authz.Policy{want}, state.Policies); diff != "" {
		t.Errorf("want (-) and got (+)\n%s", diff)
	}
}

func TestAVaultTokenIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const token = "s.m3w9gdV0uMDYFpMgEWSB2mtM"
	v := entities.VaultObject{Name: "v", Token: redact.New(token)}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(raw), fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v.Token, v.Token, v.Token)} {
		if strings.Contains(text, token) || !strings.Contains(text, redact.Text) {
			t.Errorf("got %q, want the mask and no token", text)
		}
	}
}

func TestDeclaredIDsAreUUIDsThatDependOnKindAndName(t *testing.T) {
	t.Parallel()
	a, b, c := entities.DeclaredID("vaults", "x"), entities.DeclaredID("vaults", "y"), entities.DeclaredID("policies", "x")
	if !authz.IsUUID(a) || a != entities.DeclaredID("vaults", "x") || a == b || a == c {
		t.Errorf("got %q, %q, %q, want three UUIDs", a, b, c)
	}
}
