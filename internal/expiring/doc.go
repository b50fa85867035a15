// Package expiring counts the credentials that are in use and expire soon: those whose end stops
// a client. A credential is known to it from when it was read until it is forgotten, and in use
// if it has authenticated a request lately.
//
// A request with a credential that expires soon pays for two stores a minute, any other nothing.
// What is counted is kept apart from the cache, so that counting holds no lock that a request
// needs.
package expiring
