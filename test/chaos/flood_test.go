package main

import (
	"strconv"
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
		{"newcomers shut out", func(d *floodResult) { d.let = [newcomerTries]int{} }, true},
		{"newcomers let in late", func(d *floodResult) { d.let = [newcomerTries]int{0, 0, newcomers} }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			even := pace{p99: time.Millisecond}
			d := floodResult{tokens: 200, took: time.Second, quiet: even, busy: even, flood: even, isolated: even, reads: 10, allowance: 10, let: [newcomerTries]int{50, 75, newcomers}}
			test.spoil(&d)
			if isBad(&d) != test.bad {
				t.Errorf("bad = %t, want %t: %v", isBad(&d), test.bad, d.lines())
			}
		})
	}
}

// TestNewcomersTryAgainAfterASecond looks at the order of the tries, and counts them.
func TestNewcomersTryAgainAfterASecond(t *testing.T) {
	t.Parallel()
	var pairs []pair
	for i := range newcomers {
		pairs = append(pairs, pair{access: strconv.Itoa(i)})
	}
	var requests []request
	tries := make(map[string]int)
	for i := 0; ; i++ {
		p, more := newcomer(pairs, i)
		if !more {
			break
		}
		tries[p.access]++
		s := request{pair: p, due: at(float64(i) / newcomerRate), outcome: unavailable}
		// Half of them are allowed by the second try.
		if n, _ := strconv.Atoi(p.access); n%2 == 0 && tries[p.access] >= 2 {
			s.outcome = allowed
		}
		requests = append(requests, s)
	}
	for _, p := range pairs {
		if tries[p.access] != newcomerTries {
			t.Errorf("%s is asked for %d times, want %d", p.access, tries[p.access], newcomerTries)
		}
	}
	var d floodResult
	d.admit(requests)
	if want := [newcomerTries]int{0, newcomers / 2, newcomers / 2}; d.let != want {
		t.Errorf("allowed by each try: %v, want %v", d.let, want)
	}
}
