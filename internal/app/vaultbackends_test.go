package app

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestARevocationDoesNotWaitForAVaultObjectToBeOpened: opening one reads files, and
// there may be many.
func TestARevocationDoesNotWaitForAVaultObjectToBeOpened(t *testing.T) {
	t.Parallel()
	from := &opening{newShared(), make(chan struct{}), make(chan struct{})}
	o := newVaultBackends(from, authz.NewDigester(), prometheus.NewRegistry(), zap.NewNop())
	v := DevConfig().Vaults[0]
	if _, _, err := o.set([]config.Vault{v}); err != nil {
		t.Fatal(err)
	}
	slow := v
	slow.Name = "slow"
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = o.set([]config.Vault{v, slow})
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

func (o *opening) engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, func() error, func(context.Context) error, error) {
	if v.Name == "slow" {
		close(o.began)
		<-o.goOn
	}
	return o.shared.engine(v, log)
}
