package app

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// The demo credential. It opens nothing but what dev serves, on loopback.
const (
	DemoAccessToken = "demo"
	DemoSecretToken = "demo-secret"
	DemoConsumerID  = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	demoVault       = "memory"
)

// Dev runs the service for a configuration with everything in memory until ctx ends. Its log
// goes to logs; started is called when the listeners are open.
func Dev(ctx context.Context, c *config.Config, logs io.Writer, started func(Addresses)) error {
	return serve(ctx, c, &memoryEngines{mounts: map[string]*memkv.Engine{}}, logs, nil, started)
}

// DevConfig is one vault object, one consumer and one policy, with Kong's
// defaults.
func DevConfig() config.Config {
	c := config.Default()
	c.Log.AllowSample = 1
	c.Log.Format = "console"
	c.GRPC.Reflection = true
	c.Drain = config.Drain{Timeout: time.Second}
	c.Vaults = []config.Vault{config.DefaultVault()}
	c.Vaults[0].Name, c.Vaults[0].Mount = demoVault, demoVault
	c.State.Vault = demoVault
	c.Consumers = []authz.Consumer{{ID: DemoConsumerID, Username: "demo", CustomID: "demo-1", Groups: []string{"demo"}}}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Default = "default", demoVault, true
	c.Policies = []authz.Policy{policy}
	return c
}

// memoryEngines opens engines in memory, one for each mount. The first one holds the
// demo credential.
type memoryEngines struct {
	mu     sync.Mutex
	mounts map[string]*memkv.Engine
}

// Engine implements [vaults.Opener].
func (m *memoryEngines) Engine(v *config.Vault, _ *zap.Logger) (vaultkv.Engine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	engine := m.mounts[v.Mount]
	if engine == nil {
		engine = memkv.New()
		m.mounts[v.Mount] = engine
	}
	if v.Name == demoVault {
		document, err := json.Marshal(map[string]any{
			"access_token": DemoAccessToken,
			"secret_token": DemoSecretToken,
			"consumer":     map[string]string{"id": DemoConsumerID},
		})
		if err != nil {
			return nil, err
		}
		engine.Put(DemoAccessToken, document)
	}
	return engine, nil
}

func (m *memoryEngines) state(_ vaultkv.Engine, _ string, log *zap.Logger) (state.Engine, func(context.Context) error, error) {
	log.Warn("everything is in memory and forgotten at the end")
	return memkv.New(), nil, nil
}
