// Package state keeps what the admin API made (vault objects, consumers, groups
// and policies) in a store that all replicas share, and tells each replica what
// changes: entities, and credentials that live elsewhere.
//
// The store is a log. A change is committed when the write of its segment succeeds. That
// write names the version which the writer had read, so it succeeds only if the writer
// knew every change before it. Each replica keeps a copy of all records in memory, a
// [View], and reads on in the log. docs/explanation/decisions/state.md has
// the reasons, and what is read from where.
//
//	log/00 … log/63              segments, used in turn
//	checkpoint                   the position and the pieces of the last checkpoint
//	checkpoint-a/…, checkpoint-b/…  its pieces
//
// [Store] is the shared log and the copy. [Store.Update] makes changes,
// [Store.LeaseCredential] lets one call change a credential, [Store.Follow] polls the log
// and says what caches have to drop, and [Store.Current] holds decisions back while memory
// may be out of date.
//
// A revocation travels this way: the admin API takes a lease on the access token
// (credentiallease.go), which every replica sees in the log (follower.go) and hands to the
// [Watcher] (revocation.go) that drops the credential from its caches (internal/vaults/set.go).
// Then the admin API writes the credential and releases the lease, after which each replica
// drops it once more.
//
// The files named legacy_* are the bridge to format 1, the one of the version before.
package state
