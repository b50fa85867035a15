package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// A tlsCollector exports when the TLS files of one user expire, and whether they can be read again.
type tlsCollector struct {
	status func() tlsfiles.Status

	expires, refused *prometheus.Desc
}

// newTLSCollector takes what the files are used for: the name of a listener, or "vault" and
// then the vault object.
func newTLSCollector(use, vault string, status func() tlsfiles.Status) *tlsCollector {
	labels := prometheus.Labels{"use": use, "vault": vault}
	return &tlsCollector{
		status:  status,
		expires: prometheus.NewDesc("vault_authz_tls_expires_seconds", "Seconds that the certificate in use is good for, or the first of the authorities in use; below 0 when it has expired.", []string{"file"}, labels),
		refused: prometheus.NewDesc("vault_authz_tls_files_refused", "1 while the TLS files hold what cannot be used, so that what was read before is in use.", nil, labels),
	}
}

// Describe implements [prometheus.Collector].
func (c *tlsCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.expires
	out <- c.refused
}

// Collect implements [prometheus.Collector].
func (c *tlsCollector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	files := false
	for name, end := range map[string]time.Time{"certificate": s.Certificate, "authorities": s.Authorities} {
		if !end.IsZero() {
			files = true
			out <- prometheus.MustNewConstMetric(c.expires, prometheus.GaugeValue, time.Until(end).Seconds(), name)
		}
	}
	if files {
		out <- prometheus.MustNewConstMetric(c.refused, prometheus.GaugeValue, flag(s.Refused))
	}
}
