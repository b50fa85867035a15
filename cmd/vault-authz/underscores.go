package main

import (
	"strings"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
)

// noteUnderscores says once what many proxies do to the default header names:
// Envoy Gateway refuses requests with them, nginx drops them in silence.
func noteUnderscores(c *config.Config, log *zap.Logger) {
	for i := range c.Policies {
		for _, name := range append(c.Policies[i].AccessTokenNames, c.Policies[i].SecretTokenNames...) {
			if strings.Contains(name, "_") {
				log.Info("header names with underscores are refused or dropped by many proxies; clients can send the same names with dashes",
					zap.String("policy", c.Policies[i].Name), zap.String("name", name), zap.String("also", strings.ReplaceAll(name, "_", "-")))
				break
			}
		}
	}
}
