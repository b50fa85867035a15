package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// watched is an engine that has a server, and knows how that is.
type watched interface {
	State() vaultkv.State
	Guarding() vaultkv.Guarding
	TokenLife() login.Life
	TLSFiles() tlsfiles.Status
}

var _ watched = (*vaultkv.Vault)(nil)

func condition(w watched) string {
	text := "state " + w.State().String()
	if w.Guarding().Holding {
		text += ", reads held back"
	}
	return text + tokenText(w.TokenLife())
}

// objectMetrics are the figures of one vault object.
func objectMetrics(vault string, engine vaultkv.Engine, c *cache.Cache[authz.Credential], s *vaultkv.Sweeper) prometheus.Collector {
	all := figures{newCacheCollector(vault, c, s)}
	if w, ok := engine.(watched); ok {
		all = append(all, newVaultCollector(vault, w), newTokenCollector(vault, w), newTLSCollector("vault", vault, w.TLSFiles))
	}
	return all
}

// figures are registered and unregistered as one.
type figures []prometheus.Collector

// Describe implements [prometheus.Collector].
func (f figures) Describe(out chan<- *prometheus.Desc) {
	for _, one := range f {
		one.Describe(out)
	}
}

// Collect implements [prometheus.Collector].
func (f figures) Collect(out chan<- prometheus.Metric) {
	for _, one := range f {
		one.Collect(out)
	}
}

// vaultCollector shows how the server of a vault object is.
type vaultCollector struct {
	vault watched

	state, holding, heldBack *prometheus.Desc
}

func newVaultCollector(vault string, w watched) *vaultCollector {
	labels := prometheus.Labels{"vault": vault}
	return &vaultCollector{
		vault:    w,
		state:    prometheus.NewDesc("vault_authz_vault_state", "1 for the state that the last answer, or the lack of one, put the vault object in.", []string{"state"}, labels),
		holding:  prometheus.NewDesc("vault_authz_vault_guard_holding", "1 while reads are held back because the server answers none.", nil, labels),
		heldBack: prometheus.NewDesc("vault_authz_vault_reads_held_back_total", "Reads that were not sent because the server answered none.", nil, labels),
	}
}

// Describe implements [prometheus.Collector].
func (c *vaultCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.state
	out <- c.holding
	out <- c.heldBack
}

// Collect implements [prometheus.Collector].
func (c *vaultCollector) Collect(out chan<- prometheus.Metric) {
	now, guard := c.vault.State(), c.vault.Guarding()
	for _, s := range vaultkv.States() {
		out <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, flag(s == now), s.String())
	}
	out <- prometheus.MustNewConstMetric(c.holding, prometheus.GaugeValue, flag(guard.Holding))
	out <- prometheus.MustNewConstMetric(c.heldBack, prometheus.CounterValue, float64(guard.Held))
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
