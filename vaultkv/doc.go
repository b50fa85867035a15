// Package vaultkv reads credentials from the KV secrets engine of HashiCorp
// Vault or OpenBao.
//
// A [Vault] speaks to one mount of one server: connections, the Vault token, KV
// version 1 or 2. It is an [Engine], and so is anything else that keeps JSON
// objects under keys. A [Store] reads an Engine's objects as credential
// documents and is an [authz.Source].
//
// What replicas share lies in a mount of KV version 2, written by check-and-set
// ([Vault.WriteVersion]); [Vault.Sync] proves that what is read there is current.
//
// # Not found, and everything else
//
// Only a definite answer of the right mount counts as "not found": a key that
// does not exist, or whose latest version is deleted or destroyed. A missing
// mount, a mount of the other KV version, a 403 (our token, never the client's),
// a sealed, slow, busy or stopped server, a redirect, and an answer that is not
// Vault's are all "unavailable": who cannot tell must not say "unknown".
//
// # What is never in a text
//
// The access token is part of the URL, and the errors of vault/api and net/http
// carry the URL. So no error text of theirs is passed on: errors and log lines
// are made here of the status, the kind of failure and the configuration.
package vaultkv
