package version

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric returns the gauge that says in its labels which build this is.
func Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "vault_authz_build_info",
		Help:        "1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": Number(), "revision": revision(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}
