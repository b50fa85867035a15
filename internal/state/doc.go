// Package state keeps what the admin API made (vault objects, consumers, groups
// and policies) in a store that all replicas share, and tells each replica what
// changes: entities, and credentials that live elsewhere.
//
// The store is a log. A change is committed when the write of its segment
// succeeds; that write names the version which the writer had read, so it succeeds
// only if the writer knew every change before it. Each replica keeps a copy of all
// records in memory, a [View], and reads on in the log. docs/explanation/decisions/state.md has
// the reasons, and what is read from where.
//
//	log/00 … log/63              segments, used in turn
//	checkpoint                   the position and the pieces of the last checkpoint
//	checkpoint-a/…, checkpoint-b/…  its pieces
//
// [Store] is the shared log and the copy. [Store.Update] makes changes,
// [Store.Take] brackets the change of a credential, [Store.Follow] reads on and
// says what to drop, and [Store.Current] is the gate for decisions made from
// memory.
package state
