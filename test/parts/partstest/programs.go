package partstest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// StartVault starts an empty HashiCorp Vault until the end of the test.
func StartVault(t *testing.T) *parts.Vault {
	t.Helper()
	return startServer(t, "VAULT_BIN", parts.StartVault)
}

// StartOpenBao starts an empty OpenBao until the end of the test.
func StartOpenBao(t *testing.T) *parts.Vault {
	t.Helper()
	return startServer(t, "BAO_BIN", parts.StartOpenBao)
}

func startServer(t *testing.T, variable string, start func(context.Context, parts.VaultConfig) (*parts.Vault, error)) *parts.Vault {
	t.Helper()
	v, err := start(t.Context(), parts.VaultConfig{Binary: Binary(t, variable), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	StopWith(t, v.Process)
	return v
}

// OnEachServer runs a test on a HashiCorp Vault and on an OpenBao of its own, both at the same
// time.
func OnEachServer(t *testing.T, test func(t *testing.T, v *parts.Vault)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) *parts.Vault{"Vault": StartVault, "OpenBao": StartOpenBao} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Need(t, "VAULT_BIN", "BAO_BIN")
			test(t, start(t))
		})
	}
}

// StartService starts a vault-authz until the end of the test, and waits until it is ready. It
// has a folder of its own if c has none.
func StartService(t *testing.T, c parts.ServiceConfig) *parts.Service {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := parts.StartService(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	StopWith(t, s.Process)
	return s
}

// StartDev starts `vault-authz dev` until the end of the test.
func StartDev(t *testing.T, binary string) *parts.Service {
	t.Helper()
	s, err := parts.StartDev(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	StopWith(t, s.Process)
	return s
}

// StartUpstream starts an upstream on an address until the end of the test.
func StartUpstream(t *testing.T, address string) *parts.Upstream {
	t.Helper()
	u, err := parts.StartUpstream(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// TokenFile writes a token into a file of its own and returns the path.
func TokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vault-token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
