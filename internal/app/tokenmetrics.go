package app

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// tokenText says in a few words how long a Vault token lives, and why it could not be
// renewed.
func tokenText(l login.Life) string {
	text := ""
	switch {
	case l.Method == "agent":
		return ", token added by the agent"
	case l.Forever:
		text = ", token does not end"
	case l.Known:
		text = ", token ends in " + l.Remaining.Round(time.Second).String()
	case l.Method != "token":
		text = ", not logged in"
	}
	if l.Method != "token" {
		text += " (" + l.Method + ")"
	}
	if l.Trouble != "" {
		text += ": " + l.Trouble
	}
	return text
}

// A tokenCollector exports the life of the Vault token of a vault object.
type tokenCollector struct {
	vault vaultStatus

	expires, logins, renewals *prometheus.Desc
}

func newTokenCollector(vault string, w vaultStatus) *tokenCollector {
	labels := prometheus.Labels{"vault": vault}
	return &tokenCollector{
		vault:    w,
		expires:  prometheus.NewDesc("vault_authz_vault_token_expires_seconds", "Seconds that the Vault token has to live: +Inf if it does not end, absent while that is not known.", nil, labels),
		logins:   prometheus.NewDesc("vault_authz_vault_logins_total", "Logins to Vault by outcome: ok, failed.", []string{"outcome"}, labels),
		renewals: prometheus.NewDesc("vault_authz_vault_token_renewals_total", "Renewals of the Vault token by outcome: ok, failed.", []string{"outcome"}, labels),
	}
}

// Describe implements [prometheus.Collector].
func (c *tokenCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.expires
	out <- c.logins
	out <- c.renewals
}

// Collect implements [prometheus.Collector].
func (c *tokenCollector) Collect(out chan<- prometheus.Metric) {
	life := c.vault.TokenLife()
	left := life.Remaining.Seconds()
	if life.Forever {
		left = math.Inf(1)
	}
	if life.Known {
		out <- prometheus.MustNewConstMetric(c.expires, prometheus.GaugeValue, left)
	}
	count := func(d *prometheus.Desc, n uint64, outcome string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), outcome)
	}
	count(c.logins, life.Logins, "ok")
	count(c.logins, life.FailedLogins, "failed")
	count(c.renewals, life.Renewals, "ok")
	count(c.renewals, life.FailedRenewals, "failed")
}
