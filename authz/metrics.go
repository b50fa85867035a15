package authz

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts decisions. It is safe for concurrent use.
type Metrics struct {
	decisions *prometheus.CounterVec
	duration  prometheus.Histogram
	// tallies has the counters of each policy, by name: finding one by its
	// labels takes longer than many a decision. The map is replaced when a
	// policy is seen for the first time; policies are few, and names come from
	// the configuration alone.
	tallies atomic.Pointer[map[string]*tally]
	growing sync.Mutex
}

// A tally has the counters of one policy's decisions, made when first needed, so
// that only what happened is exported.
type tally struct {
	policy   string
	counters [reasonCount][2][2]atomic.Pointer[prometheus.Counter]
}

// NewMetrics registers the metrics of the decision. Labels come from the
// configuration and from closed sets, never from a request.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	m := &Metrics{
		decisions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "vault_authz_decisions_total",
			Help: "Decisions by verdict, reason and policy; shadow says that a policy only observes.",
		}, []string{"decision", "reason", "policy", "shadow"}),
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "vault_authz_decision_duration_seconds",
			Help:    "Time from reading a check request to having its answer.",
			Buckets: []float64{.00001, .00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
		}),
	}
	m.tallies.Store(&map[string]*tally{})
	return m
}

// Count counts one decision.
func (m *Metrics) Count(d *Decision, took time.Duration) {
	policy := ""
	if d.Policy != nil {
		policy = d.Policy.Name
	}
	t := (*m.tallies.Load())[policy]
	if t == nil {
		t = m.newTally(policy)
	}
	m.counter(t, d).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *Metrics) counter(t *tally, d *Decision) prometheus.Counter {
	reason := d.Reason
	if reason >= reasonCount {
		reason = ReasonUnset
	}
	slot := &t.counters[reason][index(d.Allowed)][index(d.Shadow)]
	if c := slot.Load(); c != nil {
		return *c
	}
	c := m.decisions.WithLabelValues(d.Verdict(), d.Reason.String(), t.policy, strconv.FormatBool(d.Shadow))
	slot.Store(&c)
	return c
}

func (m *Metrics) newTally(policy string) *tally {
	m.growing.Lock()
	defer m.growing.Unlock()
	known := *m.tallies.Load()
	if t := known[policy]; t != nil {
		return t
	}
	grown := maps.Clone(known)
	grown[policy] = &tally{policy: policy}
	m.tallies.Store(&grown)
	return grown[policy]
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
