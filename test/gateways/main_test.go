package gateways

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// service builds vault-authz for the tests of this package.
var service partstest.Service

func TestMain(m *testing.M) { os.Exit(service.Main(m)) }

// need skips the test, and says so, unless a control plane and all parts are there.
func need(t *testing.T, controlPlane string) {
	t.Helper()
	if os.Getenv(controlPlane) == "" {
		t.Skipf("%s is not set: `make mesh` builds it and runs this test", controlPlane)
	}
	partstest.Need(t, controlPlane, "ENVOY_BIN", "BAO_BIN")
}

// document returns the document of a stream of YAML that has a line.
func document(t *testing.T, text, line string) string {
	t.Helper()
	for d := range strings.SplitSeq(text, "\n---\n") {
		if strings.Contains("\n"+d+"\n", "\n"+line+"\n") {
			return d
		}
	}
	t.Fatalf("no document has the line %q", line)
	return ""
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	must(t, err)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
