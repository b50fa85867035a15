// Package entitiestest has what the tests of entities, and of the admin API that makes them, have in
// common: declarations, and a check that the core takes what is built of them.
package entitiestest

import (
	"fmt"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
)

// DeclaredConsumer is the id of the consumer that is declared.
const DeclaredConsumer = "0a6b7f44-9a35-4c6a-8f0e-2f6f8a0b1c2d"

// ID returns a UUID.
func ID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// Declared declares a consumer, a vault object and the default policy.
func Declared() entities.Declared {
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default = "fixed", "fixed", true
	return entities.Declared{
		Consumers: []authz.Consumer{{ID: DeclaredConsumer, Username: "dora", Groups: []string{"staff"}}},
		Policies:  []authz.Policy{p},
		Vaults:    []entities.VaultObject{{Name: "fixed", Protocol: "https", Host: "vault.internal", Port: 8200, Mount: "kv", KV: api.KV2}},
	}
}

// DeclaredSelecting declares a policy that selects by host.
func DeclaredSelecting() entities.Declared {
	d := Declared()
	d.Policies[0].Hosts = []string{"api"}
	return d
}

// DeclaredNamed declares policies with these names.
func DeclaredNamed(names ...string) entities.Declared {
	d := Declared()
	p := d.Policies[0]
	d.Policies, p.Default = nil, false
	for _, p.Name = range names {
		d.Policies = append(d.Policies, p)
	}
	return d
}

// Snapshot returns what the core makes of the policies and vault objects that [entities.Build] has
// returned, in a directory in which every consumer is there. The test fails if the core refuses them.
func Snapshot(t *testing.T, state entities.State) *authz.Snapshot {
	t.Helper()
	sources := map[string]authz.Source{}
	for _, v := range state.Vaults {
		sources[v.Name] = unread{}
	}
	everyone, err := authz.NewDirectory(nil, anyConsumer{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := authz.NewSnapshotOf(state.Policies, everyone, sources)
	if err != nil {
		t.Fatalf("the core refuses the entities: %v", err)
	}
	return s
}

// unread is the source of a vault object that no test reads.
type unread struct{ authz.Source }

type anyConsumer struct{}

func (anyConsumer) ByID(id string) (authz.Consumer, error) {
	return authz.Consumer{ID: id, Username: id}, nil
}

func (anyConsumer) ByUsername(name string) (authz.Consumer, error) {
	return authz.Consumer{ID: ID(1), Username: name}, nil
}
