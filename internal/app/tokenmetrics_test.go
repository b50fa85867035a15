package app

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// loginServer gives every login the same token, which lives for an hour.
func loginServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/auth/userpass/login/authz":
			_, _ = w.Write([]byte(`{"auth":{"client_token":"one","lease_duration":3600,"renewable":true}}`))
		case r.Header.Get("X-Vault-Token") != "one":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[]}`))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTokenLifeIsShown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	registry := prometheus.NewRegistry()
	o := newVaultBackends(serverEngines{}, authz.NewDigester(), registry, zap.NewNop())
	v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: DevConfig().Vaults[0].Cache}
	v.Name, v.Address, v.Mount = "main", loginServer(t), "kv"
	v.Login = login.Userpass{Username: "authz", PasswordFile: file}
	sources, _, err := o.set([]config.Vault{v})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := o.condition("main"); got != "state unknown, not logged in (userpass)" {
		t.Errorf("condition before the first login is %q", got)
	}
	if _, err := sources["main"].Lookup(t.Context(), "x"); !errors.Is(err, authz.ErrUnavailable) {
		t.Errorf("Lookup without the password = %v, want %v", err, authz.ErrUnavailable)
	}
	want := `
# HELP vault_authz_vault_logins_total Logins to Vault by outcome: ok, failed.
# TYPE vault_authz_vault_logins_total counter
vault_authz_vault_logins_total{outcome="failed",vault="main"} 1
vault_authz_vault_logins_total{outcome="ok",vault="main"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "vault_authz_vault_logins_total", "vault_authz_vault_token_expires_seconds"); err != nil {
		t.Error(err)
	}
	_, retired, _ := o.set(nil)
	o.close(retired)
}

func TestTokenTextIsForPeople(t *testing.T) {
	t.Parallel()
	tests := []struct {
		life login.Life
		want string
	}{
		{login.Life{Method: "token"}, ""},
		{login.Life{Method: "token", Known: true, Forever: true}, ", token does not end"},
		{login.Life{Method: "token", Known: true, Remaining: 90e9}, ", token ends in 1m30s"},
		{login.Life{Method: "approle", Known: true, Remaining: 90e9, Trouble: "x"}, ", token ends in 1m30s (approle): x"},
		{login.Life{Method: "jwt"}, ", not logged in (jwt)"},
		{login.Life{Method: "agent"}, ", token added by the agent"},
	}
	for _, tt := range tests {
		if got := tokenText(tt.life); got != tt.want {
			t.Errorf("tokenText(%+v) = %q, want %q", tt.life, got, tt.want)
		}
	}
}

// TestTheStateUsesTheLoginOfItsVaultObject: one server, one token.
func TestTheStateUsesTheLoginOfItsVaultObject(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: DevConfig().Vaults[0].Cache}
	v.Name, v.Address, v.Mount = "main", loginServer(t), "kv"
	v.Login = login.Userpass{Username: "authz", PasswordFile: file}
	if err := os.WriteFile(file, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	engine, _, _, err := serverEngines{}.engine(&v, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	state, _, err := serverEngines{}.state(engine, "vault-authz", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, found, err := state.ReadVersion(t.Context(), "changes"); found || err != nil {
		t.Errorf("ReadVersion = %t, %v, want nothing found", found, err)
	}
	if _, found, err := engine.Read(t.Context(), "x"); found || err != nil {
		t.Errorf("Read = %t, %v, want nothing found", found, err)
	}
	if w, ok := engine.(vaultStatus); !ok || w.TokenLife().Logins != 1 {
		t.Errorf("engine %T, want one login for both", engine)
	}
}
