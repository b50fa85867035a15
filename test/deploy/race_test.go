//go:build race

package deploy

// withRace has vault-authz built like the tests.
const withRace = true
