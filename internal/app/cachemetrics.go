package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A cacheCollector exports the statistics of one cache and of its sweeps. It reads them when
// metrics are collected, so that requests pay nothing for it.
type cacheCollector struct {
	cache *cache.Cache[authz.Credential]
	sweep *vaultkv.Sweeper

	lookups, loads, loadErrors, entries, evictions, staleness *prometheus.Desc
	sweeps, swept, sweepReads, lastSweep, deletion            *prometheus.Desc
}

func newCacheCollector(vault string, c *cache.Cache[authz.Credential], s *vaultkv.Sweeper) *cacheCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"vault": vault})
	}
	return &cacheCollector{
		cache: c, sweep: s,

		lookups:    desc("vault_authz_cache_lookups_total", "Lookups by outcome: hit, stale, absent (remembered as unknown), miss, busy (refused, too much to load).", "outcome"),
		loads:      desc("vault_authz_vault_loads_total", "Reads from Vault that began."),
		loadErrors: desc("vault_authz_vault_load_errors_total", "Reads from Vault without a definite answer."),
		entries:    desc("vault_authz_cache_entries", "Entries held: credentials, and access tokens remembered as unknown.", "kind"),
		evictions:  desc("vault_authz_cache_evictions_total", "Credentials dropped because the cache was full."),
		staleness:  desc("vault_authz_revocation_worst_case_seconds", "The longest that a change made directly in Vault can take to hold: max_ttl + max_stale."),

		sweeps:     desc("vault_authz_sweeps_total", "Comparisons of what is held with a list of the mount, by outcome: complete, failed.", "outcome"),
		swept:      desc("vault_authz_sweep_dropped_total", "Credentials dropped because a sweep found that they were deleted in Vault."),
		sweepReads: desc("vault_authz_sweep_reads_total", "Reads from Vault that sweeps made, beside those of vault_loads_total."),
		lastSweep:  desc("vault_authz_sweep_last_complete_timestamp_seconds", "When the last complete sweep began, 0 before one."),
		deletion:   desc("vault_authz_deletion_worst_case_seconds", "The longest that a deletion made directly in Vault can take to hold: as revocation_worst_case, or what the last sweep promises if that is less."),
	}
}

// Describe implements [prometheus.Collector].
func (c *cacheCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lookups, c.loads, c.loadErrors, c.entries, c.evictions, c.staleness, c.sweeps, c.swept, c.sweepReads, c.lastSweep, c.deletion} {
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

	sweep := c.sweep.Stats()
	count(c.sweeps, sweep.Complete, "complete")
	count(c.sweeps, sweep.Failed, "failed")
	count(c.swept, sweep.Dropped)
	count(c.sweepReads, sweep.Reads)
	last := 0.0
	if !sweep.LastComplete.IsZero() {
		last = float64(sweep.LastComplete.UnixMilli()) / 1000
	}
	gauge(c.lastSweep, last)
	deletion := s.WorstStaleness
	if sweep.Bound > 0 {
		deletion = min(deletion, sweep.Bound)
	}
	gauge(c.deletion, deletion.Seconds())
}
