package main

import (
	"testing"
	"time"
)

// TestAFloodShowsWhatIsWrong has each thing go wrong that a line is about.
func TestAFloodShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*deluge)
		bad   bool
	}{
		{"nothing", func(*deluge) {}, false},
		{"no flood", func(d *deluge) { d.tokens = 0 }, true},
		{"a random token allowed", func(d *deluge) { d.judge(nil, []shot{{outcome: allowed}}, at(0)) }, true},
		{"allowed as somebody", func(d *deluge) { d.judge(nil, []shot{{outcome: mistaken}}, at(0)) }, true},
		{"a good one denied", func(d *deluge) { d.judge([]shot{{due: at(1), outcome: unavailable}}, nil, at(0)) }, true},
		{"a good one denied before", func(d *deluge) { d.judge([]shot{{due: at(1), outcome: unavailable}}, nil, at(2)) }, false},
		{"evicted", func(d *deluge) { d.evictions = 1 }, true},
		{"read again", func(d *deluge) { d.again = 1 }, true},
		{"slower", func(d *deluge) { d.apart.p99 = 2 * d.quiet.p99 }, true},
		{"slower where Vault takes the CPUs", func(d *deluge) { d.flood.p99 = 9 * d.quiet.p99 }, false},
		{"a token without an answer", func(d *deluge) { d.silent = 1 }, true},
		{"nothing measured", func(d *deluge) { d.apart.p99 = 0 }, true},
		{"nothing to compare with", func(d *deluge) { d.quiet.p99, d.apart.p99 = 0, 0 }, true},
		{"more reads than the limiter allows", func(d *deluge) { d.reads = d.allowance + 1 }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			even := pace{p99: time.Millisecond}
			d := deluge{tokens: 200, took: time.Second, quiet: even, busy: even, flood: even, apart: even, reads: 10, allowance: 10}
			test.spoil(&d)
			if d.bad() != test.bad {
				t.Errorf("bad = %t, want %t: %v", d.bad(), test.bad, d.lines())
			}
		})
	}
}
