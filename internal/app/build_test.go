package app

import (
	"context"
	"encoding/json"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// twoVaults is a configuration with two vault objects and a policy on each.
func twoVaults() config.Config {
	c := config.Default()
	c.Consumers = []authz.Consumer{{ID: DemoConsumerID, Username: "demo"}}
	for _, name := range []string{"a", "b"} {
		v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: cache.DefaultConfig()}
		v.Name = name
		c.Vaults = append(c.Vaults, v)
		p := authz.DefaultPolicy()
		p.Name, p.Vault = "policy-"+name, name
		c.Policies = append(c.Policies, p)
	}
	return c
}

// namedEngines opens engines in which the access token "shared" has a secret of the vault
// object's own.
type namedEngines struct{ t *testing.T }

// Engine implements [vaults.Opener].
func (n namedEngines) Engine(v *config.Vault, _ *zap.Logger) (vaultkv.Engine, error) {
	engine := memkv.New()
	document, err := json.Marshal(map[string]any{
		"access_token": "shared", "secret_token": "secret-of-" + v.Name, "consumer": map[string]string{"id": DemoConsumerID},
	})
	if err != nil {
		n.t.Error(err)
	}
	engine.Put("shared", document)
	return engine, err
}

func TestCachedCredentialOfOneVaultIsUnknownInAnother(t *testing.T) {
	t.Parallel()
	c := twoVaults()
	digester := authz.NewDigester()
	open, err := vaults.New(vaults.Dependencies{From: namedEngines{t}, Digester: digester, Metrics: prometheus.NewRegistry(), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	sources, _, err := open.Replace(c.Vaults)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		t.Fatal(err)
	}
	ask := client(t, &c, authz.New(snapshot, digester, c.Grammar))
	for range 2 { // the second time from the caches
		for _, test := range []struct {
			policy, secret string
			allowed        bool
		}{
			{"policy-a", "secret-of-a", true},
			{"policy-b", "secret-of-a", false},
			{"policy-b", "secret-of-b", true},
			{"policy-a", "secret-of-b", false},
		} {
			a := ask(envoy.Question{Method: "GET", URL: "http://x/", Policy: test.policy, Headers: []authz.Header{
				{Name: "access-token", Value: "shared"}, {Name: "secret-token", Value: test.secret},
			}})
			if a.Allowed != test.allowed {
				t.Errorf("%s with %s: allowed=%t (%s), want %t", test.policy, test.secret, a.Allowed, a.Reason, test.allowed)
			}
		}
	}
}

// testLogs are logs as configured, of which nobody reads what goes to standard output, and
// log gets all but the audit log.
func testLogs(t *testing.T, c *config.Config, log *zap.Logger) *logging.Logs {
	t.Helper()
	logs, err := logging.Open(c.Log.Config, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logs.Start()
	t.Cleanup(func() { logs.Close(time.Second) })
	logs.Log, logs.Decisions = log, log.Named("decision")
	return logs
}

// client serves a decision as the product does and returns a way to ask it.
func client(t *testing.T, c *config.Config, decider envoy.Decider) func(envoy.Question) envoy.Answer {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := authz.NewMetrics(registry, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	logs := testLogs(t, c, zap.NewNop())
	var lines atomic.Pointer[authz.DecisionLog]
	lines.Store(authz.NewDecisionLog(logs.Decisions, c.Log.AllowSample, nil))
	srv := grpcServer(c, decider, metrics, &lines, authz.NewDenials(authz.New(nil, nil, authz.Grammar{})), nil, listenersTLS{}, registry, logs)
	conn := partstest.ServeInMemory(t, srv)
	return func(q envoy.Question) envoy.Answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		a, err := envoy.Ask(ctx, conn, q)
		if err != nil {
			t.Fatalf("a check failed instead of being answered: %v", err)
		}
		return a
	}
}

func TestARequestOverTheLimitIsDeniedNotFailed(t *testing.T) {
	t.Parallel()
	c := twoVaults()
	c.GRPC.MaxRequestBytes = 64 << 10
	ask := client(t, &c, allowAll{})
	big := envoy.Question{Method: "POST", URL: "http://x/", Body: make([]byte, 128<<10)}
	if a := ask(big); a.Allowed || a.Reason != authz.ReasonNotHTTP.String() {
		t.Errorf("over the limit: allowed=%t reason=%s", a.Allowed, a.Reason)
	}
	if a := ask(envoy.Question{Method: "GET", URL: "http://x/"}); !a.Allowed {
		t.Errorf("below the limit: %+v", a)
	}
	c.GRPC.MaxRequestBytes = 32 << 20
	ask = client(t, &c, allowAll{})
	if a := ask(envoy.Question{Method: "POST", URL: "http://x/", Body: make([]byte, 8<<20)}); !a.Allowed {
		t.Errorf("8 MiB with a limit of 32 MiB: %+v", a)
	}
}

// allowAll allows every HTTP request.
type allowAll struct{}

func (allowAll) Check(_ context.Context, r *authz.Request) authz.Decision {
	if !r.HTTP {
		return authz.Decision{Reason: authz.ReasonNotHTTP}
	}
	return authz.Decision{Allowed: true, Reason: authz.ReasonAuthenticated}
}
