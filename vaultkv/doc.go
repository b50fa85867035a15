// Package vaultkv reads and writes the KV secrets engine of HashiCorp Vault or OpenBao.
//
// A [Vault] is the client of one KV mount: connections, reads and writes, the choice of
// the node that may answer, health and circuit breaker. It is an [Engine], and so is
// anything else that stores JSON objects under keys. Package record reads these as
// credentials, package sweep compares what a cache has of them, and package login keeps
// the Vault token.
//
// Replicas share their state in a mount of KV version 2, which they write with
// check-and-set ([Vault.WriteVersion]). [Vault.Sync] proves that reads are current.
//
// # Not found and unavailable
//
// Only a definite answer of the right mount counts as "not found": the key does not
// exist, or its latest version is deleted or destroyed. Everything else is
// "unavailable": a missing mount, a mount of the other KV version, a 403 (which is about
// our token, never the client's), a sealed, slow, busy or stopped server, a redirect, and
// an answer that is not Vault's.
//
// # Secrets in texts
//
// The access token is part of the URL, and the errors of vault/api and net/http contain
// the URL. So their texts are never passed on: this package writes errors and log lines
// from the status, the kind of failure and the configuration.
package vaultkv
