package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func TestConditionOfAVaultObjectIsShown(t *testing.T) {
	t.Parallel()
	sealed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"errors":["Vault is sealed"]}`))
	}))
	t.Cleanup(sealed.Close)
	registry := prometheus.NewRegistry()
	o := newVaultBackends(serverEngines{}, authz.NewDigester(), registry, zap.NewNop())
	v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: DevConfig().Vaults[0].Cache}
	v.Name, v.Address, v.Mount, v.Token = "main", sealed.URL, "kv", "t"
	sources, _, err := o.set([]config.Vault{v})
	if err != nil {
		t.Fatal(err)
	}
	if got, well := o.condition("main"); got != "state unknown" || well {
		t.Errorf("condition before the first read is %q", got)
	}
	want := `
# HELP vault_authz_vault_breaker_open 1 while the circuit breaker is open: reads fail at once because the server answers no request.
# TYPE vault_authz_vault_breaker_open gauge
vault_authz_vault_breaker_open{vault="main"} 1
`
	// The breaker lets a read through now and then, so that it is not open all the time.
	eventually(t, "an open circuit breaker", func() bool {
		_, _ = sources["main"].Lookup(t.Context(), "x")
		got, well := o.condition("main")
		return got == "state sealed, circuit breaker open" && !well &&
			testutil.GatherAndCompare(registry, strings.NewReader(want), "vault_authz_vault_breaker_open") == nil
	})
	_, retired, _ := o.set(nil)
	o.close(retired)
	if n, _ := testutil.GatherAndCount(registry); n != 0 {
		t.Errorf("%d metrics are left of a vault object that was removed", n)
	}
}

// TestReadinessStaysAndItsCheckSaysWhatFails covers each way in which a vault object fails
// after it was reached.
func TestReadinessStaysAndItsCheckSaysWhatFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
		well   bool
	}{
		{"all is well", 404, `{"errors":[]}`, "state ok", true},
		{"sealed", 503, `{"errors":["Vault is sealed"]}`, "state sealed", false},
		{"the token is rejected", 403, `{"errors":["permission denied","invalid token"]}`, "state token_rejected", false},
		{"a quota", 429, `{"errors":["rate limit quota exceeded"]}`, "state limited", false},
		{"the mount is gone", 404, `{"errors":["no handler for route \"kv/x\". route entry not found."]}`, "state no_mount", false},
		{"something else answers", 200, `<html>`, "state failing", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var later atomic.Bool
			vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				status, body := 404, `{"errors":[]}`
				if later.Load() {
					status, body = test.status, test.body
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
			t.Cleanup(vault.Close)
			o := newVaultBackends(serverEngines{}, authz.NewDigester(), prometheus.NewRegistry(), zap.NewNop())
			v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: DevConfig().Vaults[0].Cache}
			v.Name, v.Address, v.Mount, v.Token = "main", vault.URL, "kv", "t"
			sources, _, err := o.set([]config.Vault{v})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_, retired, _ := o.set(nil)
				o.close(retired)
			})
			checks := vaultChecks(&config.Config{Vaults: []config.Vault{v}}, o)
			if err := checks[0].Func(); err == nil {
				t.Error("ready before the first answer")
			}
			_, _ = sources["main"].Lookup(t.Context(), "x")
			later.Store(true)
			_, _ = sources["main"].Lookup(t.Context(), "y")
			if err := checks[0].Func(); err != nil {
				t.Errorf("no longer ready: %v", err)
			}
			if said, well := checks[0].Detail(); well != test.well || !strings.HasPrefix(said, test.want) {
				t.Errorf("the check says %q, well: %t, want %q, %t", said, well, test.want, test.well)
			}
		})
	}
}
