package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// service builds vault-authz for the tests of this package.
var service partstest.Service

func TestMain(m *testing.M) { os.Exit(service.Main(m)) }

// shipped returns a file of the folder deploy.
func shipped(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	must(t, err)
	return string(raw)
}

// with returns a text after replacements, given as pairs. Each old part must be in the text
// exactly once, so that a test changes no more than it says.
func with(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%q occurs %d times in the file, want 1", pairs[i], n)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// socketDir returns a folder with a short name: the path of a socket has at most 107 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "va") //nolint:usetesting // t.TempDir contains the name of the test, which is too long.
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
