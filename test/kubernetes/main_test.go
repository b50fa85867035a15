package kubernetes

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// service builds vault-authz for the tests of this package.
var service partstest.Service

func TestMain(m *testing.M) { os.Exit(service.Main(m)) }

// kubectl runs kubectl and returns its output.
func kubectl(t *testing.T, k *parts.Kubernetes, args ...string) string {
	t.Helper()
	out, err := k.Kubectl(t.Context(), "", args...)
	must(t, err)
	return out
}

// deployed returns the path of a file of the folder deploy.
func deployed(name string) string { return filepath.Join("..", "..", "deploy", name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
