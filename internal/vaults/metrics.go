package vaults

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/metric"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// metrics returns the collector of the metrics of all open vault objects.
func (s *Set) metrics() prometheus.Collector {
	cache, sweeps, expiring := cacheMetrics(), sweepMetrics(), expiringMetrics()
	server, token, files := serverMetrics(), tokenMetrics(), tlsfiles.NewMetrics()
	return metric.Collector(func(to chan<- prometheus.Metric) {
		_, open := s.all()
		for _, o := range open {
			vault := o.config.Name
			o.reads.Collect(to)
			cache(to, vault, o)
			sweeps(to, vault, o)
			expiring(to, vault, o)
			if o.server != nil {
				server(to, vault, o.server)
				token(to, vault, o.server)
				files.Send(to, "vault", vault, o.server.TLSFiles())
			}
		}
	})
}

// cacheMetrics are about the cache of a vault object.
func cacheMetrics() func(to chan<- prometheus.Metric, vault string, o *Object) {
	lookups := metric.Counter("vault_authz_cache_lookups_total", "Lookups by outcome: hit, stale, absent (remembered as unknown), miss, busy (refused, too much to load).", "vault", "outcome")
	loads := metric.Counter("vault_authz_vault_loads_total", "Reads from Vault that began.", "vault")
	loadErrors := metric.Counter("vault_authz_vault_load_errors_total", "Reads from Vault without a definite answer.", "vault")
	entries := metric.Gauge("vault_authz_cache_entries", "Entries held: credentials, and access tokens remembered as unknown.", "vault", "kind")
	evictions := metric.Counter("vault_authz_cache_evictions_total", "Credentials dropped because the cache was full.", "vault")
	staleness := metric.Gauge("vault_authz_revocation_worst_case_seconds", "The longest that a change made directly in Vault can take to hold: max_ttl + max_stale.", "vault")
	return func(to chan<- prometheus.Metric, vault string, o *Object) {
		s := o.cache.Stats()
		lookups.Send(to, float64(s.Hits), vault, "hit")
		lookups.Send(to, float64(s.StaleHits), vault, "stale")
		lookups.Send(to, float64(s.AbsentHits), vault, "absent")
		lookups.Send(to, float64(s.Misses), vault, "miss")
		lookups.Send(to, float64(s.Busy), vault, "busy")
		loads.Send(to, float64(s.Loads), vault)
		loadErrors.Send(to, float64(s.LoadErrors), vault)
		entries.Send(to, float64(s.Entries), vault, "credential")
		entries.Send(to, float64(s.AbsentEntries), vault, "absent")
		evictions.Send(to, float64(s.Evictions), vault)
		staleness.Send(to, s.WorstStaleness.Seconds(), vault)
	}
}

// sweepMetrics are about the sweeps of a vault object, and the promise that they make.
func sweepMetrics() func(to chan<- prometheus.Metric, vault string, o *Object) {
	sweeps := metric.Counter("vault_authz_sweeps_total", "Comparisons of what is held with a list of the mount, by outcome: complete, failed.", "vault", "outcome")
	swept := metric.Counter("vault_authz_sweep_dropped_total", "Credentials dropped because a sweep found that they were deleted in Vault.", "vault")
	reads := metric.Counter("vault_authz_sweep_reads_total", "Reads from Vault that sweeps made, beside those of vault_loads_total.", "vault")
	lastSweep := metric.Gauge("vault_authz_sweep_last_complete_timestamp_seconds", "When the last complete sweep began, 0 before one.", "vault")
	deletion := metric.Gauge("vault_authz_deletion_worst_case_seconds", "The longest that a deletion made directly in Vault can take to hold: as revocation_worst_case, or what the last sweep promises if that is less.", "vault")
	return func(to chan<- prometheus.Metric, vault string, o *Object) {
		s := o.sweeper.Stats()
		sweeps.Send(to, float64(s.Complete), vault, "complete")
		sweeps.Send(to, float64(s.Failed), vault, "failed")
		swept.Send(to, float64(s.Dropped), vault)
		reads.Send(to, float64(s.Reads), vault)
		last := 0.0
		if !s.LastComplete.IsZero() {
			last = float64(s.LastComplete.UnixMilli()) / 1000
		}
		lastSweep.Send(to, last, vault)
		bound := o.cache.Stats().WorstStaleness
		if s.Bound > 0 {
			bound = min(bound, s.Bound)
		}
		deletion.Send(to, bound.Seconds(), vault)
	}
}

// expiringMetrics are about the credentials in use that expire soon.
func expiringMetrics() func(to chan<- prometheus.Metric, vault string, o *Object) {
	credentials := metric.Gauge("vault_authz_credentials_in_use_expiring", "Credentials used here in the last day that expire within a time, or have expired. Each time includes the shorter ones.", "vault", "within")
	replaced := metric.Gauge("vault_authz_previous_secrets_in_use_expiring", "Credentials whose previous secret was used here in the last hour and expires within a time. Each time includes the shorter ones.", "vault", "within")
	return func(to chan<- prometheus.Metric, vault string, o *Object) {
		n := o.cache.soon.Count(time.Now())
		credentials.Send(to, float64(n.Day), vault, "1d")
		credentials.Send(to, float64(n.Week), vault, "7d")
		credentials.Send(to, float64(n.Month), vault, "30d")
		replaced.Send(to, float64(n.ReplacedHour), vault, "1h")
		replaced.Send(to, float64(n.ReplacedDay), vault, "1d")
	}
}
