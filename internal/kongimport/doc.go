// Package kongimport makes a plan of what a Kong configuration means here, and
// carries it out through the admin API.
//
// [Parse] reads a decK file or a dump of Kong's Admin API, [Plan] compares it
// with what exists, and [Changes.Apply] makes what is missing, under the ids that
// it has in Kong: the credentials stay where they are, in Vault, and refer to
// consumers by id. Nothing that exists is changed. What has no counterpart is in
// the plan, too; nothing is dropped in silence.
//
// No Vault token is in a plan, an error or what is printed.
package kongimport
