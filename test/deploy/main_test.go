package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// suite is what the tests share.
var suite struct {
	// service builds vault-authz, once.
	service func() (string, error)
}

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	dir, err := os.MkdirTemp("", "vault-authz-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	suite.service = sync.OnceValues(func() (string, error) {
		return parts.BuildService(context.Background(), dir, withRace)
	})
	return m.Run()
}

// part returns a program that the environment names. Without it the test is
// skipped, or fails where all of them must be there.
func part(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		if os.Getenv("REQUIRE_REAL_PARTS") == "1" {
			t.Fatalf("%s is not set although REQUIRE_REAL_PARTS=1: run `make tools` and set it to the binary", variable)
		}
		t.Skipf("%s is not set: run `make tools` and set it to the binary", variable)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return path
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := suite.service()
	must(t, err)
	return path
}

// shipped returns a file of the folder deploy.
func shipped(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	must(t, err)
	return string(raw)
}

// with returns a text with parts of it changed, given in pairs. Each must be in it once:
// what the test changes beyond that would not be tested.
func with(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%q is %d times in what is shipped, want once", pairs[i], n)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// socketDir returns a folder with a short name: the path of a socket has little room.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "va") //nolint:usetesting // Its folders have the name of the test.
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// running ends a process with the test, and shows its log if that failed.
func running(t *testing.T, p *parts.Process) {
	t.Helper()
	t.Cleanup(func() {
		p.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.Name(), p.Log())
		}
	})
}

func await(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, parts.Await(ctx, nil, condition))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
