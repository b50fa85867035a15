// Package cache is a read-through cache for values that must not be used for longer than
// allowed. It does not depend on the kind of value: a [Loader] reads a value from the store,
// and [Rules] define its lifetime and the meaning of the loader's errors.
//
// # The lifetime of a value
//
//	load begins      refresh ahead        expiry           expiry + MaxStale
//	|---- fresh ---------|---- fresh ---------|---- stale ---------|
//	  answered at once     answered at once,    answered only while  gone
//	                       and loaded again     the store is
//	                       in the background    unavailable
//
// A value is fresh for the time that [Rules.Lifetime] returns, within limits, otherwise for
// the configured TTL, and never forever. The lifetime begins with the load, so a slow store
// does not extend it. It is shortened at random, so that values that were loaded together
// are not loaded again together. A value in use is loaded again before it expires. An unused
// value expires.
//
// After its expiry a value may be served for up to MaxStale while the store is unavailable
// or slow, or while the limits below do not allow a load. A definite answer of the store and
// [Cache.Invalidate] always end that.
//
// # Absent keys
//
// A definite "not found" is remembered for seconds, in a separate table: absent keys never
// evict values. Other errors are not remembered.
//
// # No oracle
//
// A client with a wrong secret must not be able to find out which keys are in the cache. For
// it, [Cache.Recheck] gives the answer that a key without a value would have.
//
// # Loads
//
// A key has one load at a time, however many callers wait for it. The load belongs to the
// cache: it continues when a caller gives up, so that the next lookup finds its result. The
// result of a load that began before an Invalidate is never stored and never returned. The
// number of loads is limited, and so is the rate of loads for keys that are not held. Beyond
// the limits a lookup fails at once with [ErrBusy]. A part of the limit is reserved for keys
// that are held, so that a flood of random keys does not stop good values from being loaded
// again. A smaller part is reserved for keys that are requested again after they were
// refused and are not known as absent: clients with a good key do that, most floods do not.
//
// After an outage of the store, loads that can wait begin at the usual rate and then at a
// rising one, not all at once (slow start). While the store limits loads ([Rules.Limited]),
// loads for keys that are held come first. The cache learns about both only from loads for
// keys that are held: any client can request other keys, and a healthy store may fail for
// some of them.
//
// # Isolation
//
// Use a Cache for each store: the keys of a Cache are those of one store.
package cache
