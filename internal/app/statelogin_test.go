package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

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
	engine, err := serverEngines{}.Engine(&v, zap.NewNop())
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
	if w, ok := engine.(*vaultkv.Vault); !ok || w.TokenLife().Logins != 1 {
		t.Errorf("engine %T, want one login for both", engine)
	}
}
