package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

func TestTheConnectionOfAVaultObjectIsTried(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.vaultStatus.Reachable, b.vaultStatus.Problem = new(false), "it refuses the connection"
	id := b.vaultID()
	b.store.mu.Lock()
	version := b.store.records[state.KindVaults+"/"+id].Version
	b.store.mu.Unlock()
	a := b.must(200, b.get("/vault-auth/kong-auth/status"))
	want := `{"reachable":false,"sealed":null,"standby":null,"authenticated":null,"token_ttl_seconds":null,"can_read":null,"can_list":null,"latency_ms":null,"problem":"it refuses the connection"}`
	if strings.TrimSpace(a.raw) != want {
		t.Errorf("got %s, want %s", a.raw, want)
	}
	if tried := fmt.Sprintf("%s %d", id, version); b.triedVault != tried {
		t.Errorf("%s was tried, want %s", b.triedVault, tried)
	}
	b.must(404, b.get("/vault-auth/other/status"))
	b.vaultErr = authz.ErrNotFound
	if a := b.must(503, b.get("/vault-auth/kong-auth/status")); !strings.Contains(a.raw, "unavailable") {
		t.Errorf("a version that is not open here: %s", a.raw)
	}
}

// vaultID is the id of the vault object of a furnished bench.
func (b *bench) vaultID() string {
	b.Helper()
	return b.must(200, b.get("/vault-auth/kong-auth")).text("id")
}

// A staleStore has a view and, once it is stale, cannot read on.
type staleStore struct {
	Store
	stale bool
}

func (s *staleStore) Refresh(ctx context.Context) error {
	if s.stale {
		return authz.ErrUnavailable
	}
	return s.Store.Refresh(ctx)
}

// TestTheConnectionIsTriedWhileTheStateCannotBeRead: its server may be that of the state.
func TestTheConnectionIsTriedWhileTheStateCannotBeRead(t *testing.T) {
	t.Parallel()
	store := &staleStore{}
	b := newBench(t, func(_ *Config, d *Dependencies) {
		store.Store = d.Store
		d.Store = store
	})
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	store.stale = true
	b.must(503, b.get("/vault-auth/kong-auth"))
	b.must(200, b.get("/vault-auth/kong-auth/status"))
}
