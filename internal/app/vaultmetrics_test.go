package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
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
	if got := o.condition("main"); got != "state unknown" {
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
		return o.condition("main") == "state sealed, circuit breaker open" &&
			testutil.GatherAndCompare(registry, strings.NewReader(want), "vault_authz_vault_breaker_open") == nil
	})
	_, retired, _ := o.set(nil)
	o.close(retired)
	if n, _ := testutil.GatherAndCount(registry); n != 0 {
		t.Errorf("%d metrics are left of a vault object that was removed", n)
	}
}
