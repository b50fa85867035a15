package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
)

// TestWhatCannotBeUsedLeavesTheVaultObjectsOpen: decisions go on by the snapshot before, whose
// caches would refuse every load if they were closed.
func TestWhatCannotBeUsedLeavesTheVaultObjectsOpen(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*config.Config){
		"a policy without its vault object": func(c *config.Config) { c.Policies[0].Vault = "nowhere" },
		"a vault object that does not open": func(c *config.Config) {
			broken := c.Vaults[0]
			broken.Name, broken.Cache = "broken", cache.Config{}
			c.Vaults = append(c.Vaults, broken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTestReconciler(t)
			before, version := r.backends.named(demoVault), r.vaults
			next := DevConfig()
			next.Vaults[0].Cache.Capacity++
			spoil(&next)
			if r.reconfigure(&next) == nil {
				t.Fatal("it is used")
			}
			if r.backends.named(demoVault) != before || len(r.backends.retiring) != 0 || len(r.vaults) != len(version) {
				t.Error("the vault object was replaced")
			}
			if _, err := before.cache.Lookup(t.Context(), DemoAccessToken); err != nil {
				t.Errorf("the vault object was closed: %v", err)
			}
			good := DevConfig()
			good.Vaults[0].Cache.Capacity++
			if err := r.reconfigure(&good); err != nil || r.backends.named(demoVault) == before {
				t.Errorf("what can be used is not: %v", err)
			}
		})
	}
}

// TestADecisionUnderWayFinishesAtAReplacedVaultObject: it has taken the snapshot and not
// looked up yet.
func TestADecisionUnderWayFinishesAtAReplacedVaultObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := newVaultBackends(newShared(), authz.NewDigester(), prometheus.NewRegistry(), zap.NewNop())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = bs.Run(ctx)
		}()
		v := DevConfig().Vaults[0]
		if _, _, err := bs.set([]config.Vault{v}); err != nil {
			t.Fatal(err)
		}
		old := bs.named(demoVault)
		v.Cache.Capacity++
		_, retired, err := bs.set([]config.Vault{v})
		if err != nil {
			t.Fatal(err)
		}
		bs.retire(retired)
		synctest.Wait()
		if _, err := old.cache.Lookup(ctx, DemoAccessToken); err != nil {
			t.Errorf("right after the change: %v", err)
		}
		time.Sleep(v.Cache.LoadTimeout + time.Second)
		synctest.Wait()
		if _, err := old.cache.Lookup(ctx, "another"); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("after the time of a load: %v, want it closed", err)
		}
		stop()
		<-ended
	})
}
