package app

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// openSet returns a Set without vault objects.
func openSet(t *testing.T, from vaults.Opener) *vaults.Set {
	t.Helper()
	s, err := vaults.New(vaults.Dependencies{From: from, Digester: authz.NewDigester(), Metrics: prometheus.NewRegistry(), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestARevocationDoesNotWaitForAVaultObjectToBeOpened: opening one reads files, and
// there may be many.
func TestARevocationDoesNotWaitForAVaultObjectToBeOpened(t *testing.T) {
	t.Parallel()
	from := &opening{newShared(), make(chan struct{}), make(chan struct{})}
	o := openSet(t, from)
	v := DevConfig().Vaults[0]
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
	told := newReconciler(&config.Config{}, o, nil, zap.NewNop()).watcher()
	told.Drop(DemoAccessToken)
	told.DropAll()
	told.Changed([]state.Change{{Kind: state.KindVaults}}, nil)
	close(from.goOn)
	<-done
}

// opening stops where a vault object called slow is opened.
type opening struct {
	*shared
	began, goOn chan struct{}
}

// Engine implements [vaults.Opener].
func (o *opening) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	if v.Name == "slow" {
		close(o.began)
		<-o.goOn
	}
	return o.shared.Engine(v, log)
}
