// Package e2e holds the tests that run vault-authz between a real Envoy and a
// real Vault, on loopback. `make e2e` gets both and runs them; without
// ENVOY_BIN and VAULT_BIN they skip, and with REQUIRE_REAL_PARTS=1 they fail
// instead.
//
// Each test asks what a client and an upstream can see: the answer, what got
// through, Envoy's counters, and the decision log.
package e2e
