package vaults

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// TestTryingALoginDoesNotUseUpTheWrappingToken: serve would take the one that was
// used by the try for stolen.
func TestTryingALoginDoesNotUseUpTheWrappingToken(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte("wrapping"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, wrapped := range []bool{false, true} {
		v := config.DefaultVault()
		v.Name, v.Address, v.Mount = "main", s.URL, "kv"
		v.Login = login.AppRole{RoleID: "role", SecretIDFile: file, Wrapped: wrapped}
		asked.Store(0)
		var out strings.Builder
		err := Connect(t.Context(), &config.Config{Vaults: []config.Vault{v}}, &out)
		if left := err == nil && asked.Load() == 0 && strings.Contains(out.String(), "not tried"); left != wrapped {
			t.Errorf("connect with wrapped: %t = %v after %d requests, said %q; want the server asked: %t", wrapped, err, asked.Load(), out.String(), !wrapped)
		}
	}
}
