package authz

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts decisions. It is safe for concurrent use.
type Metrics struct {
	decisions *prometheus.CounterVec
	duration  prometheus.Histogram
}

// NewMetrics registers the metrics of the decision. Labels come from the
// configuration and from closed sets, never from a request.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	return &Metrics{
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
}

// Count counts one decision.
func (m *Metrics) Count(d *Decision, took time.Duration) {
	policy, shadow := "", "false"
	if d.Policy != nil {
		policy = d.Policy.Name
	}
	if d.Shadow {
		shadow = "true"
	}
	m.decisions.WithLabelValues(d.Verdict(), d.Reason.String(), policy, shadow).Inc()
	m.duration.Observe(took.Seconds())
}
