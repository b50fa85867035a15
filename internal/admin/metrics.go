package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newCallMetrics registers the durations of the calls of the API. Methods are those of HTTP,
// or unknown. The operations of a batch are not calls.
func newCallMetrics(reg prometheus.Registerer) (*prometheus.HistogramVec, error) {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            "vault_authz_admin_call_duration_seconds",
		Help:                            "Time to answer a call of the admin API, by method and HTTP status; its count is the number of calls.",
		Buckets:                         []float64{.001, .005, .01, .05, .1, .5, 1, 5, 15},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"method", "code"})
	return calls, reg.Register(calls)
}
