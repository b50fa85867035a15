package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// suite is what the tests share: the programs, and one world for all tests that
// break nothing.
var suite = struct {
	envoy, vault, bao string
	required          bool
	dir               string
	service           func() (string, error)
	world             func() (*world, error)
	secrets           secrets
}{
	envoy:    os.Getenv("ENVOY_BIN"),
	vault:    os.Getenv("VAULT_BIN"),
	bao:      os.Getenv("BAO_BIN"),
	required: os.Getenv("REQUIRE_REAL_PARTS") == "1",
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
	suite.service = sync.OnceValues(func() (string, error) {
		return parts.BuildService(context.Background(), dir, withRace)
	})
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

// realParts skips or fails a test that needs what is not there.
func realParts(t *testing.T, wanted map[string]string) {
	t.Helper()
	for name, value := range wanted {
		if value == "" {
			if suite.required {
				t.Fatalf("%s is not set although REQUIRE_REAL_PARTS=1: run `make tools` and set it to the binary", name)
			}
			t.Skipf("%s is not set: `make e2e` gets the real parts and runs this", name)
		}
		if _, err := os.Stat(value); value != "" && err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// needEnvoy is for tests of the wiring around vault-authz.
func needEnvoy(t *testing.T) {
	t.Helper()
	realParts(t, map[string]string{"ENVOY_BIN": suite.envoy})
}

// sharedWorld returns the world that all tests share that break nothing.
func sharedWorld(t *testing.T) *world {
	t.Helper()
	realParts(t, map[string]string{"ENVOY_BIN": suite.envoy, "VAULT_BIN": suite.vault})
	w, err := suite.world()
	if err != nil {
		t.Fatalf("starting the shared world: %v", err)
	}
	return w
}

// ownWorld returns a world that a test may break.
func ownWorld(t *testing.T, s setup) *world {
	t.Helper()
	realParts(t, map[string]string{"ENVOY_BIN": suite.envoy, "VAULT_BIN": suite.vault})
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
