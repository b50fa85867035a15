//go:build !race

package deploy

const withRace = false
