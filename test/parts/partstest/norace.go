//go:build !race

package partstest

const withRace = false
