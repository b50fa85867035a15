package authz

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts decisions and times them. It is safe for concurrent use.
//
// Labels come from the configuration and from closed sets, never from a request.
type Metrics struct {
	authorizer *Authorizer
	decisions  *prometheus.Desc
	duration   [resultCount]histogram
	exemplars  exemplars
	// tallies has the counters of each policy, by name: finding one by its
	// labels takes longer than many a decision. The map is replaced when a
	// policy is counted for the first time, and when one is gone.
	tallies atomic.Pointer[map[string]*tally]
	// changing guards a change of the map, and gone, which has what policies had counted that
	// are gone.
	changing sync.Mutex
	gone     reasonCounts
}

type histogram interface {
	prometheus.Observer
	prometheus.ExemplarObserver
}

// A tally has the counters of one policy's decisions.
type tally [reasonCount][2][2]atomic.Uint64

// noPolicy is the label of decisions that no policy governs.
const noPolicy = ""

// maxExpected is for how many policies there are series of what has not happened
// yet. Each has about 18, so beyond it most series would be zeros for good.
const maxExpected = 100

// A result is what an answer means for the request.
type result uint8

const (
	resultAllow result = iota
	resultDeny
	// resultError is a denial that is due to us, whatever its status is.
	resultError
	resultCount
)

func resultOf(d *Decision) result {
	switch {
	case d.Allowed:
		return resultAllow
	case d.Reason.isOurs():
		return resultError
	}
	return resultDeny
}

// durationBuckets are dense around 0.2 s, Envoy's own limit for a check.
var durationBuckets = [...]float64{.00001, .00005, .0001, .0005, .001, .005, .01, .025, .05, .1, .15, .2, .25, .5, 1, 5}

// NewMetrics registers the metrics of the decision. The counters of the policies
// that authorizer decides by are there from the start. authorizer may be nil, and traceOf,
// too: then there are no exemplars.
func NewMetrics(reg prometheus.Registerer, authorizer *Authorizer, traceOf TraceOf) (*Metrics, error) {
	m := &Metrics{authorizer: authorizer, exemplars: exemplars{traceOf: traceOf}, decisions: prometheus.NewDesc(
		"vault_authz_decisions_total",
		"Decisions by verdict (allow, deny), reason and policy (empty where none governs); shadow says that a policy only observes. The reasons that a policy can have are there from the start, for the first 100 policies.",
		[]string{"decision", "reason", "policy", "shadow"}, nil,
	)}
	m.tallies.Store(&map[string]*tally{noPolicy: {}})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "vault_authz_decision_duration_seconds",
		Help:    "Time from reading a check request to having its answer, by result: allow, deny, error (a denial that is due to us: 5xx).",
		Buckets: durationBuckets[:],
		// As a native histogram, a bucket is at most a tenth wider than the one before.
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"result"})
	for r, name := range [resultCount]string{resultAllow: "allow", resultDeny: "deny", resultError: "error"} {
		m.duration[r] = duration.WithLabelValues(name).(histogram) //nolint:forcetypeassert // it is one
	}
	for _, c := range []prometheus.Collector{m, duration} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Count counts one decision about r.
func (m *Metrics) Count(ctx context.Context, r *Request, d *Decision, took time.Duration) {
	policy := noPolicy
	if d.Policy != nil {
		policy = d.Policy.Name
	}
	t := (*m.tallies.Load())[policy]
	if t == nil {
		t = m.newTally(policy)
	}
	reason := d.Reason
	if reason >= reasonCount {
		reason = ReasonUnset
	}
	t[reason][index(d.Allowed)][index(d.Shadow)].Add(1)
	duration := m.duration[resultOf(d)]
	if trace := m.exemplars.trace(ctx, r, took); trace != "" {
		duration.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": strings.Clone(trace)})
		return
	}
	duration.Observe(took.Seconds())
}

func (m *Metrics) newTally(policy string) (t *tally) {
	m.change(func(known map[string]*tally) {
		if known[policy] == nil {
			known[policy] = &tally{}
		}
		t = known[policy]
	})
	return t
}

// change replaces the map of tallies by a changed copy.
func (m *Metrics) change(do func(map[string]*tally)) {
	m.changing.Lock()
	defer m.changing.Unlock()
	next := maps.Clone(*m.tallies.Load())
	do(next)
	m.tallies.Store(&next)
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(out chan<- *prometheus.Desc) { out <- m.decisions }

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	current := m.current()
	if current != nil {
		m.keep(current)
	}
	for name, t := range *m.tallies.Load() {
		p := current.named(name)
		m.show(out, name, t, func(r Reason, allowed, shadow bool) bool {
			switch {
			case name == noPolicy:
				return !allowed && !shadow && r.withoutPolicy()
			case p == nil:
				return false
			}
			return shadow == p.Shadow && allowed == (p.Shadow || r.Status() == 0) && p.hasReason(r)
		})
	}
}

// current returns the snapshot that decides, nil if there is none.
func (m *Metrics) current() *Snapshot {
	if m.authorizer == nil {
		return nil
	}
	return m.authorizer.snapshot.Load()
}

// keep gives each of the policies its counters, up to the bound, and drops those of
// policies that are gone: names come from the admin API, too, and would pile up.
func (m *Metrics) keep(current *Snapshot) {
	m.change(func(known map[string]*tally) {
		maps.DeleteFunc(known, func(name string, t *tally) bool {
			if name == noPolicy || current.named(name) != nil {
				return false
			}
			t.addTo(&m.gone)
			return true
		})
		for _, p := range current.policies {
			if len(known) > maxExpected {
				break
			}
			if known[p.Name] == nil {
				known[p.Name] = &tally{}
			}
		}
	})
}

// byReason returns the number of all decisions by reason. It never decreases.
func (m *Metrics) byReason() reasonCounts {
	m.changing.Lock()
	defer m.changing.Unlock()
	all := m.gone
	for _, t := range *m.tallies.Load() {
		t.addTo(&all)
	}
	return all
}

func (t *tally) addTo(sum *reasonCounts) {
	for reason := range t {
		for allowed := range t[reason] {
			for shadow := range t[reason][allowed] {
				sum[reason] += t[reason][allowed][shadow].Load()
			}
		}
	}
}

// show sends the counters that are not zero, and those that are expected.
func (m *Metrics) show(out chan<- prometheus.Metric, policy string, t *tally, expected func(r Reason, allowed, shadow bool) bool) {
	for reason := range reasonCount {
		for a, verdict := range [2]string{verdict(false), verdict(true)} {
			for s := range 2 {
				n := t[reason][a][s].Load()
				if n > 0 || expected(reason, a == 1, s == 1) {
					out <- prometheus.MustNewConstMetric(m.decisions, prometheus.CounterValue, float64(n), verdict, reason.String(), policy, strconv.FormatBool(s == 1))
				}
			}
		}
	}
}

// hasReason says whether a decision by the policy can have the reason.
func (p *policy) hasReason(r Reason) bool {
	switch r {
	case ReasonPreflight:
		return !p.RunOnPreflight
	case ReasonAnonymous, ReasonAnonymousACL, ReasonAnonymousMissing:
		return p.Anonymous != ""
	case ReasonAuthenticated, ReasonACL, ReasonUnavailable, ReasonCanceled, ReasonInternal:
		return true
	default:
		return r.badCredential()
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
