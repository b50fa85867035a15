package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// suite is what the tests share: the programs, and one world for all tests that
// break nothing.
var suite = struct {
	envoy, vault, bao string
	dir               string
	service           partstest.Service
	world             func() (*world, error)
	secrets           secrets
}{
	envoy: os.Getenv("ENVOY_BIN"),
	vault: os.Getenv("VAULT_BIN"),
	bao:   os.Getenv("BAO_BIN"),
}

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	dir, err := os.MkdirTemp("", "vault-authz-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	suite.dir = dir
	defer suite.service.Remove()
	var shared *world
	suite.world = sync.OnceValues(func() (*world, error) {
		w, err := startWorld(context.Background(), dir, sharedSetup())
		shared = w
		return w, err
	})
	code := m.Run()
	if shared == nil {
		return code
	}
	if code != 0 {
		shared.printLogs(os.Stderr)
	}
	shared.close()
	if found := suite.secrets.leaks(shared.logs()); len(found) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: secrets in the logs of the shared programs:", found)
		return 1
	}
	return code
}

// sharedWorld returns the world that all tests share that break nothing.
func sharedWorld(t *testing.T) *world {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	w, err := suite.world()
	if err != nil {
		t.Fatalf("starting the shared world: %v", err)
	}
	return w
}

// ownWorld returns a world that a test may break.
func ownWorld(t *testing.T, s setup) *world {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	w, err := startWorld(t.Context(), t.TempDir(), s)
	if err != nil {
		t.Fatalf("starting a world: %v", err)
	}
	t.Cleanup(func() {
		w.close()
		if found := suite.secrets.leaks(w.logs()); len(found) > 0 {
			t.Errorf("secrets in the logs: %q", found)
		}
		if t.Failed() {
			w.printLogs(t.Output())
		}
	})
	return w
}
