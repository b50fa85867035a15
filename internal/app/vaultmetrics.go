package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A vaultStatus is an engine with a server, whose state it knows.
type vaultStatus interface {
	State() vaultkv.State
	Problem() error
	Breaker() vaultkv.BreakerStatus
	TokenLife() login.Life
	TLSFiles() tlsfiles.Status
}

var _ vaultStatus = (*vaultkv.Vault)(nil)

// condition describes the state of a server in a few words, and says whether credentials are
// read from it.
func condition(w vaultStatus) (text string, well bool) {
	state, open := w.State(), w.Breaker().Open
	text = "state " + state.String()
	if open {
		text += ", circuit breaker open"
	}
	return text + tokenText(w.TokenLife()), state == vaultkv.StateOK && !open
}

// vaultMetrics returns the metrics of one vault object.
func vaultMetrics(vault string, engine vaultkv.Engine, c watchedCache, s *vaultkv.Sweeper) collectorSet {
	all := collectorSet{newCacheCollector(vault, c.Cache, s), newExpiringCollector(vault, c.soon)}
	if w, ok := engine.(vaultStatus); ok {
		all = append(all, newVaultCollector(vault, w), newTokenCollector(vault, w), newTLSCollector("vault", vault, w.TLSFiles))
	}
	return all
}

// A collectorSet is registered and unregistered as one.
type collectorSet []prometheus.Collector

// Describe implements [prometheus.Collector].
func (cs collectorSet) Describe(out chan<- *prometheus.Desc) {
	for _, one := range cs {
		one.Describe(out)
	}
}

// Collect implements [prometheus.Collector].
func (cs collectorSet) Collect(out chan<- prometheus.Metric) {
	for _, one := range cs {
		one.Collect(out)
	}
}

// A vaultCollector exports the state of the server of a vault object.
type vaultCollector struct {
	vault vaultStatus

	state, open, rejected *prometheus.Desc
}

func newVaultCollector(vault string, w vaultStatus) *vaultCollector {
	labels := prometheus.Labels{"vault": vault}
	return &vaultCollector{
		vault:    w,
		state:    prometheus.NewDesc("vault_authz_vault_state", "1 for the state that the last answer, or the lack of one, put the vault object in.", []string{"state"}, labels),
		open:     prometheus.NewDesc("vault_authz_vault_breaker_open", "1 while the circuit breaker is open: reads fail at once because the server answers no request.", nil, labels),
		rejected: prometheus.NewDesc("vault_authz_vault_reads_rejected_total", "Reads that were not sent because the circuit breaker was open.", nil, labels),
	}
}

// Describe implements [prometheus.Collector].
func (c *vaultCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.state
	out <- c.open
	out <- c.rejected
}

// Collect implements [prometheus.Collector].
func (c *vaultCollector) Collect(out chan<- prometheus.Metric) {
	now, breaker := c.vault.State(), c.vault.Breaker()
	for _, s := range vaultkv.States() {
		out <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, flag(s == now), s.String())
	}
	out <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, flag(breaker.Open))
	out <- prometheus.MustNewConstMetric(c.rejected, prometheus.CounterValue, float64(breaker.Rejected))
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
