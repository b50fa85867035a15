package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestAFewThingsOnACluster checks that the program runs. The limits are checked by the
// program itself and by the end-to-end tests on a cluster.
func TestAFewThingsOnACluster(t *testing.T) {
	t.Parallel()
	b := binaries{bao: partstest.Binary(t, "BAO_BIN"), service: service.Binary(t)}
	bed, err := newClusterTestbed(t.Context(), t.TempDir(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bed.cluster.Close)
	var tables clusterTables
	o := options{only: regexp.MustCompile(`^(A leader, B leader|two creators, v1|step-down)$`), rounds: 2, cap: 20 * time.Second}
	if err := bed.tryAll(t.Context(), &tables, o, true); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tables.print(&out)
	t.Log(out.String())
	if len(tables.topologies) != 1 || len(tables.topologies[0].held) != o.rounds {
		t.Errorf("topologies: %v, want one with %d revocations", lines(tables.topologies), o.rounds)
	}
	if len(tables.races) != 1 || tables.races[0].rounds+tables.races[0].unfinished != o.rounds {
		t.Errorf("races: %v, want one with %d rounds", lines(tables.races), o.rounds)
	}
	if len(tables.faults) != 1 || tables.faults[0].elected == 0 || tables.faults[0].requests == 0 || len(tables.faults[0].held) == 0 {
		t.Errorf("faults: %v, want one with an election, requests and revocations", lines(tables.faults))
	}
}

// TestAFaultOfAClusterIsJudged changes one result at a time: only its cell must be bad.
func TestAFaultOfAClusterIsJudged(t *testing.T) {
	t.Parallel()
	expired := pair{expires: at(5)}
	tests := []struct {
		name    string
		request request
		spoil   func(*faultRow)
		bad     []string
	}{
		{"nothing", request{class: cached, outcome: allowed}, nil, nil},
		{"revoked just now", request{class: expiring, pair: expired, due: at(4), outcome: allowed}, nil, nil},
		{"revoked before", request{class: expiring, pair: expired, due: at(5), outcome: allowed}, nil, []string{"wrong allows"}},
		{"a wrong secret", request{class: cachedWrongSecret, outcome: allowed}, nil, []string{"wrong allows"}},
		{"a wrong secret unavailable", request{class: cachedWrongSecret, outcome: unavailable}, nil, nil},
		{"a cached one unavailable", request{class: cached, outcome: unavailable}, nil, []string{"cached lost"}},
		{"a cached one denied", request{class: cached, outcome: denied}, nil, []string{"cached lost", "good denied"}},
		{"no answer", request{class: unknown, outcome: unanswered}, nil, []string{"no answer"}},
		{"late on B", request{outcome: denied}, func(r *faultRow) { r.works[1] = 4 * time.Second }, []string{"on B after"}},
		{"held too long", request{outcome: denied}, func(r *faultRow) { r.held[1] = 3 * time.Second }, []string{"revoked meanwhile, denied elsewhere after: max (n)"}},
		{"nothing revoked", request{outcome: denied}, func(r *faultRow) { r.held = nil }, []string{"revoked meanwhile, denied elsewhere after: max (n)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &faultRow{elects: true, elected: time.Second, works: []time.Duration{time.Second, 3 * time.Second}, held: []time.Duration{0, 2 * time.Second}}
			r.count([]request{test.request}, at(1))
			if test.spoil != nil {
				test.spoil(r)
			}
			var bad []string
			for i, c := range r.cells() {
				if c.bad {
					bad = append(bad, faultHeads()[i])
				}
			}
			if !slices.Equal(bad, test.bad) {
				t.Errorf("cells that are bad: %q, want %q; cells %v", bad, test.bad, r.cells())
			}
			if anyBad(lines([]*faultRow{r})) != (test.bad != nil) {
				t.Errorf("the table says that it is bad: %t, want %t", test.bad == nil, test.bad != nil)
			}
		})
	}
}
