package record

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/authz"
)

// Timed is an [authz.Source] that takes the time of the reads of another one, as a
// [prometheus.Collector]. It is safe for concurrent use.
type Timed struct {
	*prometheus.HistogramVec
	source authz.Source
}

var _ authz.Source = (*Timed)(nil)

// NewTimed returns the reads of the vault object called name.
func NewTimed(name string, source authz.Source) *Timed {
	t := &Timed{source: source, HistogramVec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            "vault_authz_vault_read_duration_seconds",
		Help:                            "Time of a read of a credential from Vault, its repetition included, by outcome: found, not_found, malformed (a record that cannot be used), unavailable (no definite answer).",
		ConstLabels:                     prometheus.Labels{"vault": name},
		Buckets:                         []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2, 5},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"outcome"})}
	for _, outcome := range []string{authz.ReadFound, authz.ReadNotFound, authz.ReadMalformed, authz.ReadUnavailable} {
		t.WithLabelValues(outcome)
	}
	return t
}

// Lookup implements [authz.Source].
func (t *Timed) Lookup(ctx context.Context, accessToken string) (authz.Credential, error) {
	began := time.Now()
	c, err := t.source.Lookup(ctx, accessToken)
	t.WithLabelValues(authz.ReadOutcome(err)).Observe(time.Since(began).Seconds())
	return c, err
}
