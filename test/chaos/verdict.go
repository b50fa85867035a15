package main

import (
	"fmt"
	"slices"
	"time"
)

// The limits of a trial.
const (
	recoveryLimit = 5 * time.Second
	// stampedeLimit is the limit for the rate of requests to Vault after a fault,
	// relative to the rate before it.
	stampedeLimit = 2.0
	// stampedeSpan is the time after a fault for which that limit holds.
	stampedeSpan = 2 * time.Second
	// stallLimit is the longest stall of the machine with which timed results count.
	stallLimit = 150 * time.Millisecond
)

// A row is the result of a trial.
type row struct {
	fault    string
	harmless bool
	// wrongAllows counts requests that were allowed wrongly or as another consumer, lost
	// requests with cached credentials that were not allowed, goodDenied good credentials
	// that were denied, and unanswered requests without an answer.
	wrongAllows, lost, goodDenied, unanswered int
	// during has the outcomes and latencies of uncached requests during the fault.
	during tally
	// felt counts the uncached requests that were not allowed after the first second of
	// a harmless fault.
	felt              int
	recovered         time.Duration
	steady, peakAfter float64
	duringRate        float64
	before, after     footprint
	states            []string
	// stall is the longest stall of the machine.
	stall time.Duration
	// wrong describes the wrong allows.
	wrong []string
	// requests counts all requests, and untried are the classes without a request that
	// could have failed.
	requests int
	untried  []string
}

// A tally has the outcomes of requests of one class in a period.
type tally struct {
	allowed, unavailable, denied, unanswered int
	p50, p99                                 time.Duration
}

func (t *trial) row() row {
	m, requests := t.timestamps, t.traffic.made()
	r := row{fault: t.fault.name, harmless: t.fault.harmless, before: t.before, after: t.after, stall: t.heart.worst(m.steady, m.over)}
	var during []request
	tried := map[class]int{}
	for _, s := range requests {
		if s.due.Before(m.steady) || !s.due.Before(m.over) {
			continue
		}
		r.requests++
		// A denial of a pair that was never allowed says nothing.
		if s.class != expiring || s.outcome == allowed {
			tried[s.class]++
		}
		if isWrongAllow(s) {
			r.wrongAllows++
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %s, sent %s after the fault began", s.class, s.outcome, s.due.Sub(m.broken)))
		}
		if s.outcome == unanswered {
			r.unanswered++
		}
		if s.class == cached && s.outcome != allowed {
			r.lost++
		}
		if (s.class == cached || s.class == uncached) && s.outcome == denied {
			r.goodDenied++
		}
		if s.class != uncached {
			continue
		}
		if !s.due.Before(m.broken) && s.due.Before(m.mending) {
			if r.harmless && s.outcome != allowed && s.due.Sub(m.broken) > time.Second {
				r.felt++
			}
			during = append(during, s)
		}
		if !s.due.Before(m.mended) && s.outcome != allowed {
			r.recovered = max(r.recovered, s.due.Sub(m.mended)+s.took)
		}
	}
	for _, c := range []class{cached, uncached, cachedWrongSecret, uncachedWrongSecret, unknown, revoked, expiring} {
		if tried[c] == 0 {
			r.untried = append(r.untried, string(c))
		}
	}
	r.during = count(during)
	asked := &t.testbed.front.count
	rate := func(from, to time.Time) float64 { return float64(asked.between(from, to)) / to.Sub(from).Seconds() }
	r.steady, r.duringRate = rate(m.steady, m.broken), rate(m.broken, m.mended)
	r.peakAfter = float64(asked.worst(m.mended, m.mended.Add(stampedeSpan)))
	return r
}

// isWrongAllow says whether a request was allowed wrongly.
func isWrongAllow(s request) bool {
	if s.outcome == wrongConsumer {
		return true
	}
	if s.outcome != allowed {
		return false
	}
	switch s.class {
	case cachedWrongSecret, uncachedWrongSecret, unknown, revoked:
		return true
	case expiring:
		// It was sent when it was due, or later.
		return !s.due.Before(s.pair.expires)
	case cached, uncached:
	}
	return false
}

func count(requests []request) tally {
	var t tally
	took := make([]time.Duration, 0, len(requests))
	for _, s := range requests {
		took = append(took, s.took)
		switch s.outcome {
		case allowed:
			t.allowed++
		case unavailable:
			t.unavailable++
		case unanswered:
			t.unanswered++
		case denied, wrongConsumer:
			t.denied++
		}
	}
	t.p50, t.p99 = quantile(took, 0.5), quantile(took, 0.99)
	return t
}

// quantile returns the quantile of values, 0 if there are none. It sorts values.
func quantile(values []time.Duration, part float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(part*float64(len(values))))]
}
