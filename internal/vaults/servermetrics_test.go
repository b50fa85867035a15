package vaults

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

func TestConditionOfAVaultObjectIsShown(t *testing.T) {
	t.Parallel()
	sealed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"errors":["Vault is sealed"]}`))
	}))
	t.Cleanup(sealed.Close)
	o, registry := newSet(t, Servers{})
	v := config.DefaultVault()
	v.Name, v.Address, v.Mount, v.Token = "main", sealed.URL, "kv", "t"
	sources, _, err := o.Replace([]config.Vault{v})
	if err != nil {
		t.Fatal(err)
	}
	if got, well := o.Named("main").Condition(); got != "state unknown" || well {
		t.Errorf("condition before the first read is %q", got)
	}
	want := `
# HELP vault_authz_vault_breaker_open 1 while the circuit breaker is open: reads fail at once because the server answers no request.
# TYPE vault_authz_vault_breaker_open gauge
vault_authz_vault_breaker_open{vault="main"} 1
`
	// The breaker lets a read through now and then, so that it is not open all the time.
	partstest.Eventually(t, "an open circuit breaker", func() bool {
		_, _ = sources["main"].Lookup(t.Context(), "x")
		got, well := o.Named("main").Condition()
		return got == "state sealed, circuit breaker open" && !well &&
			testutil.GatherAndCompare(registry, strings.NewReader(want), "vault_authz_vault_breaker_open") == nil
	})
	_, removed, _ := o.Replace(nil)
	for _, gone := range removed {
		gone.cache.Close()
	}
	if n, _ := testutil.GatherAndCount(registry); n != 0 {
		t.Errorf("%d metrics are left of a vault object that was removed", n)
	}
}

func TestTokenLifeIsShown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	o, registry := newSet(t, Servers{})
	v := config.DefaultVault()
	v.Name, v.Address, v.Mount = "main", "http://127.0.0.1:1", "kv"
	v.Login = login.Userpass{Username: "authz", PasswordFile: file}
	sources, _, err := o.Replace([]config.Vault{v})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := o.Named("main").Condition(); got != "state unknown, not logged in (userpass)" {
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
	o.Named("main").cache.Close()
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
