// Package kongimport makes a plan of what a Kong configuration means here, and
// carries it out through the admin API.
//
// [Parse] reads a decK file or a dump of Kong's Admin API, [Plan] compares it
// with what exists, and [Changes.Apply] makes what is missing, under the ids that
// it has in Kong: the credentials stay where they are, in Vault, and refer to
// consumers by id. Existing entities are not changed. Entities without a counterpart
// are in the plan, too; nothing is dropped silently.
//
// Plans, errors and output contain no Vault token.
package kongimport
