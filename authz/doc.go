// Package authz is the core of vault-authz: the vocabulary and the decision.
//
// A [Request] is what the decision needs to know of one HTTP request. An
// [Authorizer] chooses the [Policy] that governs it, extracts the access token
// and the secret token, looks the access token up through a [Source], compares
// the secret in constant time, resolves the [Consumer] and returns a
// [Decision].
//
// The package knows neither Envoy nor Vault, imports no other package of this
// module, and does no I/O except through Source. The zero value of everything
// that could let a request in (Decision, Secret, Credential, Reason) denies.
package authz
