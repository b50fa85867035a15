package reconcile

import (
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestARevocationDoesNotWaitForAVaultObjectToBeOpened: opening one reads files, and
// there may be many.
func TestARevocationDoesNotWaitForAVaultObjectToBeOpened(t *testing.T) {
	t.Parallel()
	from := &opening{memory{memkv.New()}, make(chan struct{}), make(chan struct{})}
	o := openSet(t, from)
	v := demo().Vaults[0]
	if _, _, err := o.Replace([]config.Vault{v}); err != nil {
		t.Fatal(err)
	}
	slow := v
	slow.Name = "slow"
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = o.Replace([]config.Vault{v, slow})
	}()
	<-from.began
	told := New(&config.Config{}, o, nil, zap.NewNop()).Watcher()
	told.Drop(demoToken)
	told.DropAll()
	told.Changed([]state.Change{{Kind: state.KindVaults}}, nil)
	close(from.goOn)
	<-done
}

// opening stops where a vault object called slow is opened.
type opening struct {
	memory
	began, goOn chan struct{}
}

// Engine implements [vaults.Opener].
func (o *opening) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	if v.Name == "slow" {
		close(o.began)
		<-o.goOn
	}
	return o.memory.Engine(v, log)
}
