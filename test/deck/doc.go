// Package deck replays what decK asks a Kong, as far as this project has what it asks
// for: the requests of its commands, in their order, with what must be in the answers
// for it to go on. decK itself cannot be had from the registries that the tests use.
package deck
