// Package e2e tests vault-authz between a real Envoy and a real Vault, on loopback.
// `make e2e` fetches both and runs the tests. Without ENVOY_BIN and VAULT_BIN the tests
// are skipped, with REQUIRE_REAL_PARTS=1 they fail instead.
//
// The tests check what is visible outside of vault-authz: the answer to the client,
// what reaches the upstream, Envoy's counters, and the decision log.
package e2e
