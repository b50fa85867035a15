package main

import (
	"testing"
	"time"
)

// TestAFloodShowsWhatIsWrong changes one result at a time: its line must be bad.
func TestAFloodShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*floodResult)
		bad   bool
	}{
		{"nothing", func(*floodResult) {}, false},
		{"no flood", func(d *floodResult) { d.tokens = 0 }, true},
		{"a random token allowed", func(d *floodResult) { d.judge(nil, []request{{outcome: allowed}}, at(0)) }, true},
		{"allowed as somebody", func(d *floodResult) { d.judge(nil, []request{{outcome: wrongConsumer}}, at(0)) }, true},
		{"a good one denied", func(d *floodResult) { d.judge([]request{{due: at(1), outcome: unavailable}}, nil, at(0)) }, true},
		{"a good one denied before", func(d *floodResult) { d.judge([]request{{due: at(1), outcome: unavailable}}, nil, at(2)) }, false},
		{"evicted", func(d *floodResult) { d.evictions = 1 }, true},
		{"read again", func(d *floodResult) { d.rereads = 1 }, true},
		{"slower", func(d *floodResult) { d.isolated.p99 = 2 * d.quiet.p99 }, true},
		{"slower where Vault takes the CPUs", func(d *floodResult) { d.flood.p99 = 9 * d.quiet.p99 }, false},
		{"a token that is not answered", func(d *floodResult) { d.unanswered = 1 }, true},
		{"nothing measured", func(d *floodResult) { d.isolated.p99 = 0 }, true},
		{"nothing to compare with", func(d *floodResult) { d.quiet.p99, d.isolated.p99 = 0, 0 }, true},
		{"more reads than the limiter allows", func(d *floodResult) { d.reads = d.allowance + 1 }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			even := pace{p99: time.Millisecond}
			d := floodResult{tokens: 200, took: time.Second, quiet: even, busy: even, flood: even, isolated: even, reads: 10, allowance: 10}
			test.spoil(&d)
			if isBad(&d) != test.bad {
				t.Errorf("bad = %t, want %t: %v", isBad(&d), test.bad, d.lines())
			}
		})
	}
}
