package reconcile

import (
	"testing"

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
			before := r.vaults.Named(demoVault)
			next := demo()
			next.Vaults[0].Cache.Capacity++
			spoil(&next)
			if r.Reconfigure(&next) == nil {
				t.Fatal("it is used")
			}
			if r.vaults.Named(demoVault) != before || len(r.vaults.Health()) != 1 {
				t.Error("the vault object was replaced")
			}
			if _, err := r.sources[demoVault].Lookup(t.Context(), demoToken); err != nil {
				t.Errorf("the vault object was closed: %v", err)
			}
			good := demo()
			good.Vaults[0].Cache.Capacity++
			if err := r.Reconfigure(&good); err != nil || r.vaults.Named(demoVault) == before {
				t.Errorf("what can be used is not: %v", err)
			}
		})
	}
}
