// Package deck replays the requests of decK to a Kong, as far as this project supports
// them: the requests of its commands in their order, and the parts of the answers that
// decK needs. decK itself is not in the registries that the tests use.
package deck
