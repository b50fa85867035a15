// Package login gets a Vault token and keeps it alive.
//
// A [Session] holds the token of one vault object. The token is given ([Config].Token,
// [Config].TokenFile), added by an agent ([Config].Agent), or the session logs in for
// it with a [Method]: [AppRole], [Kubernetes], [JWT], [Cert] or [Userpass].
// [Session.Keep] renews the token at two thirds of its life, logs in again when
// renewal ends, and keeps using the old token while a login fails. [Session.Close]
// revokes the tokens that the session logged in for.
//
// A session sends its requests through a [Server], which knows addresses, TLS and
// retries; the session knows tokens only.
//
// No error and no log line of this package contains a token, a secret id, a password
// or a text of the server.
package login
