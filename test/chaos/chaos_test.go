package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// service builds vault-authz for the tests of this package.
var service partstest.Service

func TestMain(m *testing.M) { os.Exit(service.Main(m)) }

// TestAFewFaults runs some faults briefly. Results that depend on time count only if the
// machine did not stall.
func TestAFewFaults(t *testing.T) {
	t.Parallel()
	b := binaries{vault: partstest.Binary(t, "VAULT_BIN"), service: service.Binary(t)}
	o := options{retries: 1, plan: plan{steady: 2 * time.Second, fault: 3 * time.Second, recovery: 5500 * time.Millisecond, load: 0.2}}
	for _, f := range faults() {
		if !slices.Contains([]string{"killed", "policy removed"}, f.name) {
			continue
		}
		// Not in parallel: other tests use the machine, too.
		t.Run(f.name, func(t *testing.T) {
			r, err := tryAgain(t.Context(), t.TempDir(), b, o, f)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("cells: %v", r.cells())
			if r.requests == 0 || r.during.unavailable == 0 {
				t.Errorf("%d requests, %d of them unavailable during the fault, want at least one of each", r.requests, r.during.unavailable)
			}
			for i, c := range r.cells() {
				// The steady state is too short to measure the requests to Vault.
				if c.bad && columns()[i].head != askedHead && (!columns()[i].timed || r.stall <= stallLimit) {
					t.Errorf("%s: %s (longest stall of the machine: %s)", columns()[i].head, c, r.stall)
				}
			}
			for _, wrong := range r.wrong {
				t.Errorf("wrong allow: %s", wrong)
			}
		})
	}
}

// TestTheDocumentHasEveryFault compares the table in docs/explanation/chaos.md with the
// faults.
func TestTheDocumentHasEveryFault(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/explanation/chaos.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults() {
		if !strings.Contains(string(document), "\n| "+f.name+" |") {
			t.Errorf("docs/explanation/chaos.md has no row for the fault %q: run `make chaos` and put its table there", f.name)
		}
	}
	for _, c := range columns() {
		if !strings.Contains(string(document), "| "+c.head+" |") {
			t.Errorf("docs/explanation/chaos.md has no column %q: run `make chaos` and put its table there", c.head)
		}
	}
}
