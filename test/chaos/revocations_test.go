package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestARevocationResultShowsWhatIsWrong changes one result at a time: its line must be bad.
func TestARevocationResultShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	late := lag{n: 1, max: revocationLimit + 1}
	tests := []struct {
		name  string
		spoil func(*revocationResult)
		bad   bool
	}{
		{"nothing", func(*revocationResult) {}, false},
		{"late beside a reload", func(d *revocationResult) { d.reload = late }, true},
		{"late after an outage", func(d *revocationResult) { d.during = late }, true},
		{"late at the end of an outage", func(d *revocationResult) { d.after = late }, true},
		{"none beside a reload", func(d *revocationResult) { d.reload = lag{} }, true},
		{"no outage", func(d *revocationResult) { d.outages = 0 }, true},
		{"nothing was read", func(d *revocationResult) { d.reading = 0 }, true},
		{"503 while it catches up", func(d *revocationResult) { d.beside.unavailable, d.closed = 9, time.Second }, false},
		{"503 after it has caught up", func(d *revocationResult) { d.closed = time.Minute }, true},
		{"a good one denied beside a reload", func(d *revocationResult) { d.beside.denied = 1 }, true},
		{"no answer beside a reload", func(d *revocationResult) { d.beside.unanswered = 1 }, true},
		{"503 in an outage", func(d *revocationResult) { d.outside.unavailable = 1 }, true},
		{"a good one denied in an outage", func(d *revocationResult) { d.outside.denied = 1 }, true},
		{"no good request in an outage", func(d *revocationResult) { d.outside.allowed = 0 }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := lag{n: 1, max: time.Second}
			d := revocationResult{
				records: 1, reloads: 1, outages: 1, reload: in, during: in, after: in, reading: 5 * time.Second,
				beside: tally{allowed: 1}, outside: tally{allowed: 1},
			}
			test.spoil(&d)
			if isBad(&d) != test.bad {
				t.Errorf("bad = %t, want %t: %v", isBad(&d), test.bad, d.lines())
			}
		})
	}
}

// TestTheDocumentHasEveryLineOfRevocations compares docs/explanation/chaos.md with the lines.
func TestTheDocumentHasEveryLineOfRevocations(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/explanation/chaos.md")
	if err != nil {
		t.Fatal(err)
	}
	var d revocationResult
	for _, l := range d.lines() {
		if !strings.Contains(string(document), "\n| "+l.text+" |") {
			t.Errorf("docs/explanation/chaos.md has no line %q: run `make chaos` and put its table there", l.text)
		}
	}
}

// TestRevocationsBesideAReloadAndAnOutage runs with few records and one outage.
func TestRevocationsBesideAReloadAndAnOutage(t *testing.T) {
	t.Parallel()
	b := binaries{vault: partstest.Binary(t, "VAULT_BIN"), service: service.Binary(t)}
	d, err := revocations(t.Context(), t.TempDir(), b, 2500, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("lines: %v", d.lines())
	late := slices.Max([]time.Duration{d.reload.max, d.during.max, d.after.max})
	if late > revocationLimit && d.stall <= stallLimit {
		t.Errorf("a revocation held after %s, want at most %s", late, revocationLimit)
	}
	if d.beside.allowed == 0 || d.outside.allowed == 0 || d.beside.denied+d.outside.denied > 0 {
		t.Errorf("good credentials beside a reload: %+v, beside an outage: %+v, want them allowed", d.beside, d.outside)
	}
}
