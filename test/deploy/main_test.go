package deploy

import (
	"os"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// service builds vault-authz for the tests of this package.
var service partstest.Service

func TestMain(m *testing.M) { os.Exit(service.Main(m)) }

// shipped returns a file of the folder deploy.
func shipped(t *testing.T, name string) string {
	t.Helper()
	return partstest.Shipped(t, name)
}

// with returns a text after replacements, see [partstest.With].
func with(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	return partstest.With(t, text, pairs...)
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
