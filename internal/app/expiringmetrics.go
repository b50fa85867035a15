package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/expiring"
)

// An expiringCollector exports how many credentials in use expire soon. It counts when metrics are
// collected, so that requests pay nothing for it.
type expiringCollector struct {
	soon                  *expiring.Watch
	credentials, replaced *prometheus.Desc
}

func newExpiringCollector(vault string, soon *expiring.Watch) *expiringCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"within"}, prometheus.Labels{"vault": vault})
	}
	return &expiringCollector{
		soon:        soon,
		credentials: desc("vault_authz_credentials_in_use_expiring", "Credentials used here in the last day that expire within a time, or have expired. Each time includes the shorter ones."),
		replaced:    desc("vault_authz_previous_secrets_in_use_expiring", "Credentials whose previous secret was used here in the last hour and expires within a time. Each time includes the shorter ones."),
	}
}

// Describe implements [prometheus.Collector].
func (c *expiringCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.credentials
	out <- c.replaced
}

// Collect implements [prometheus.Collector].
func (c *expiringCollector) Collect(out chan<- prometheus.Metric) {
	n := c.soon.Count(time.Now())
	gauge := func(d *prometheus.Desc, n int, within string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), within)
	}
	gauge(c.credentials, n.Day, "1d")
	gauge(c.credentials, n.Week, "7d")
	gauge(c.credentials, n.Month, "30d")
	gauge(c.replaced, n.ReplacedHour, "1h")
	gauge(c.replaced, n.ReplacedDay, "1d")
}
