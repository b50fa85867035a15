package tlsfiles

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/metric"
)

// Metrics say when TLS files expire, and whether they can be read again.
type Metrics struct{ expires, refused metric.Metric }

// NewMetrics returns the Metrics of files of any use.
func NewMetrics() Metrics {
	return Metrics{
		expires: metric.Gauge("vault_authz_tls_expires_seconds", "Seconds that the certificate in use is good for, or the first of the authorities in use; below 0 when it has expired.", "use", "vault", "file"),
		refused: metric.Gauge("vault_authz_tls_files_refused", "1 while the TLS files hold what cannot be used, so that what was read before is in use.", "use", "vault"),
	}
}

// Send sends the metrics of some files. use is what they are used for: the name of a listener,
// or "vault" and then the vault object.
func (m Metrics) Send(to chan<- prometheus.Metric, use, vault string, s Status) {
	files := false
	for name, end := range map[string]time.Time{"certificate": s.Certificate, "authorities": s.Authorities} {
		if !end.IsZero() {
			files = true
			m.expires.Send(to, time.Until(end).Seconds(), use, vault, name)
		}
	}
	if files {
		m.refused.Send(to, metric.Bool(s.Refused), use, vault)
	}
}
