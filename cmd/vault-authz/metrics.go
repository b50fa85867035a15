package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
)

// cacheCollector shows the figures of one cache. It reads them when it is
// asked, so that counting costs the requests nothing more.
type cacheCollector struct {
	cache *cache.Cache[authz.Credential]

	lookups, loads, loadErrors, entries, evictions, staleness *prometheus.Desc
}

func newCacheCollector(vault string, c *cache.Cache[authz.Credential]) *cacheCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"vault": vault})
	}
	return &cacheCollector{
		cache: c,

		lookups:    desc("vault_authz_cache_lookups_total", "Lookups by outcome: hit, stale, absent (remembered as unknown), miss, busy (refused, too much to load).", "outcome"),
		loads:      desc("vault_authz_vault_loads_total", "Reads from Vault that began."),
		loadErrors: desc("vault_authz_vault_load_errors_total", "Reads from Vault without a definite answer."),
		entries:    desc("vault_authz_cache_entries", "Entries held: credentials, and access tokens remembered as unknown.", "kind"),
		evictions:  desc("vault_authz_cache_evictions_total", "Credentials dropped because the cache was full."),
		staleness:  desc("vault_authz_revocation_worst_case_seconds", "The longest that a change made directly in Vault can take to hold: max_ttl + max_stale."),
	}
}

// Describe implements [prometheus.Collector].
func (c *cacheCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lookups, c.loads, c.loadErrors, c.entries, c.evictions, c.staleness} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *cacheCollector) Collect(out chan<- prometheus.Metric) {
	s := c.cache.Stats()
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count(c.lookups, s.Hits, "hit")
	count(c.lookups, s.StaleHits, "stale")
	count(c.lookups, s.AbsentHits, "absent")
	count(c.lookups, s.Misses, "miss")
	count(c.lookups, s.Busy, "busy")
	count(c.loads, s.Loads)
	count(c.loadErrors, s.LoadErrors)
	count(c.evictions, s.Evictions)
	gauge(c.entries, float64(s.Entries), "credential")
	gauge(c.entries, float64(s.AbsentEntries), "absent")
	gauge(c.staleness, s.WorstStaleness.Seconds())
}
