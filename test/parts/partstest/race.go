//go:build race

package partstest

// withRace builds vault-authz with the race detector when the tests have it.
const withRace = true
