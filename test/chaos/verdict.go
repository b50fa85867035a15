package main

import (
	"fmt"
	"slices"
	"time"
)

// What a trial must not exceed.
const (
	recoveryLimit = 5 * time.Second
	// stampedeLimit is by how much more Vault may be asked after a fault than
	// before it.
	stampedeLimit = 2.0
	// stampedeSpan is when after its end that is looked at: the worst second
	// that begins then.
	stampedeSpan = 2 * time.Second
	// stallLimit is how long the machine may keep a process waiting for the
	// trial to say something about the service.
	stallLimit = 150 * time.Millisecond
)

// A row is what came out of a trial.
type row struct {
	fault    string
	harmless bool
	// wrongAllows are allows of a request that must not be, or as another
	// consumer; lost are those of cached credentials that were not allowed;
	// blamed are good credentials that were told to be bad; silences are
	// requests without an answer.
	wrongAllows, lost, goodDenied, unanswered int
	// What became of uncached good ones during the fault, and how fast.
	during tally
	// felt are those of them that were not allowed after the first second of a
	// harmless fault.
	felt              int
	recovered         time.Duration
	steady, peakAfter float64
	duringRate        float64
	before, after     footprint
	states            []string
	// stall is the longest that the machine kept a process waiting meanwhile.
	stall time.Duration
	// wrong tells of some of the wrong allows.
	wrong []string
	// shots are all that were counted, and untried the classes that there was
	// none of that could have gone wrong.
	requests int
	untried  []string
}

// A tally is of requests of one class in one span of time.
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
		// One that was never allowed says nothing when it is denied.
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

// isWrongAllow says whether a request must not have been allowed.
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
		// It was sent later still.
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

// quantile returns the smallest value that at least that part of them does not
// exceed, 0 if there are none.
func quantile(values []time.Duration, part float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(part*float64(len(values))))]
}
