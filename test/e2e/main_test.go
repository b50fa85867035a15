package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// suite is shared by all tests: the programs, and one testbed for the tests that break
// nothing.
var suite = struct {
	envoy, vault, bao string
	dir               string
	service           partstest.Service
	testbed           func() (*testbed, error)
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
	var shared *testbed
	suite.testbed = sync.OnceValues(func() (*testbed, error) {
		bed, err := startTestbed(context.Background(), dir, sharedSetup())
		shared = bed
		return bed, err
	})
	code := m.Run()
	if shared == nil {
		return code
	}
	if code != 0 {
		printLogs(os.Stderr, shared.logs())
	}
	shared.close()
	if found := suite.secrets.leaks(shared.logs()); len(found) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: secrets in the logs of the shared testbed:", found)
		return 1
	}
	return code
}

// sharedTestbed returns the testbed of the tests that break nothing.
func sharedTestbed(t *testing.T) *testbed {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	bed, err := suite.testbed()
	if err != nil {
		t.Fatalf("starting the shared testbed: %v", err)
	}
	return bed
}

// ownTestbed returns a testbed that a test may break.
func ownTestbed(t *testing.T, s setup) *testbed {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	bed, err := startTestbed(t.Context(), t.TempDir(), s)
	if err != nil {
		t.Fatalf("starting a testbed: %v", err)
	}
	bed.endWith(t)
	return bed
}

// endWith stops everything at the end of a test, and checks the logs.
func (bed *testbed) endWith(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		bed.close()
		checkLogs(t, bed.logs())
	})
}

// checkLogs fails a test if a secret is in a log, and prints the logs of a test that failed.
func checkLogs(t *testing.T, logs map[string]string) {
	t.Helper()
	if found := suite.secrets.leaks(logs); len(found) > 0 {
		t.Errorf("secrets in the logs: %q", found)
	}
	if t.Failed() {
		printLogs(t.Output(), logs)
	}
}
