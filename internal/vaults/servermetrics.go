package vaults

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/metric"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// serverMetrics are about the server of a vault object.
func serverMetrics() func(to chan<- prometheus.Metric, vault string, server server) {
	state := metric.Gauge("vault_authz_vault_state", "1 for the state that the last answer, or the lack of one, put the vault object in.", "vault", "state")
	open := metric.Gauge("vault_authz_vault_breaker_open", "1 while the circuit breaker is open: reads fail at once because the server answers no request.", "vault")
	rejected := metric.Counter("vault_authz_vault_reads_rejected_total", "Reads that were not sent because the circuit breaker was open.", "vault")
	return func(to chan<- prometheus.Metric, vault string, server server) {
		now, breaker := server.State(), server.Breaker()
		for _, s := range vaultkv.States() {
			state.Send(to, metric.Bool(s == now), vault, s.String())
		}
		open.Send(to, metric.Bool(breaker.Open), vault)
		rejected.Send(to, float64(breaker.Rejected), vault)
	}
}

// tokenMetrics are about the Vault token of a vault object.
func tokenMetrics() func(to chan<- prometheus.Metric, vault string, server server) {
	expires := metric.Gauge("vault_authz_vault_token_expires_seconds", "Seconds that the Vault token has to live: +Inf if it does not end, absent while that is not known.", "vault")
	logins := metric.Counter("vault_authz_vault_logins_total", "Logins to Vault by outcome: ok, failed.", "vault", "outcome")
	renewals := metric.Counter("vault_authz_vault_token_renewals_total", "Renewals of the Vault token by outcome: ok, failed.", "vault", "outcome")
	return func(to chan<- prometheus.Metric, vault string, server server) {
		life := server.TokenLife()
		left := life.Remaining.Seconds()
		if life.Forever {
			left = math.Inf(1)
		}
		if life.Known {
			expires.Send(to, left, vault)
		}
		logins.Send(to, float64(life.Logins), vault, "ok")
		logins.Send(to, float64(life.FailedLogins), vault, "failed")
		renewals.Send(to, float64(life.Renewals), vault, "ok")
		renewals.Send(to, float64(life.FailedRenewals), vault, "failed")
	}
}
