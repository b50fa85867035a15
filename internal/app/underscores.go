package app

import (
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
)

// logUnderscores warns once about what many proxies do to the default header names:
// Envoy Gateway refuses requests with them, nginx drops them in silence.
func logUnderscores(c *config.Config, log *zap.Logger) {
	var policies []string
	for i := range c.Policies {
		names := slices.Concat(c.Policies[i].AccessTokenNames, c.Policies[i].SecretTokenNames)
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "_") }) {
			policies = append(policies, c.Policies[i].Name)
		}
	}
	if len(policies) > 0 {
		log.Info("header names with underscores are refused or dropped by many proxies; clients can send the same names with dashes",
			zap.Strings("policies", policies))
	}
}
