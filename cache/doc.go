// Package cache is a read-through cache for values that must not be believed
// for longer than allowed. It knows nothing of what it holds: a [Loader] reads a
// value from where it lives, and [Rules] say how long the value may be used and
// what the loader's errors mean.
//
// # The life of a value
//
//	load begins      refresh ahead        expiry           expiry + MaxStale
//	|---- fresh ---------|---- fresh ---------|---- stale ---------|
//	  answered at once     answered at once,    answered only while  gone
//	                       and read again in    the store cannot
//	                       the background       be asked
//
// A value is fresh for what [Rules.Lifetime] asks for, clamped, or else for the
// configured TTL; never for ever. Lives are counted from the beginning of the
// load, so a slow store does not lengthen them, and are shortened at random so
// that values that were read together are not read again together. A value that
// is used is read again ahead of its expiry; one that is not used just expires.
//
// Past its expiry a value may stand in for the store, for as long as MaxStale,
// while the store is unavailable, slow, or kept from being asked by the limits
// below. Two things always win over that: a definite answer of the store, and
// [Cache.Invalidate].
//
// # Absent keys
//
// A definite "not found" is remembered for seconds, in a place of its own: no
// number of absent keys takes room from values. No other error is remembered.
//
// # Who may know what is held
//
// Somebody who is shown no value must not find out by asking which keys there are.
// [Cache.Recheck] tells them about a key that is held what they would be told about one
// that there is no value of.
//
// # Loads
//
// There is one load of a key at a time, however many wait for it, and it belongs
// to the cache: a caller who gives up does not end it, so a second try finds its
// result. A load that began before an Invalidate is never kept and never
// answers anybody. Loads are bounded in number, and those of keys that are not
// held in rate; beyond that, a lookup fails at once with [ErrBusy]. A part of
// the loads is set aside for keys that are held, so that a flood of made-up keys
// does not keep good values from being read again, and a smaller one for keys that
// come again after they were refused and are not known as absent: a client with a good
// key does that, most floods of made-up ones do not.
//
// When the store is back after it was unavailable, what can wait is read again at
// the rate that was usual before, then at a rising one: not all at once. When it limits
// loads ([Rules.Limited]), those of keys that are held go first. Both are learned from
// loads of keys that are held only: anybody may ask for others, and a store may fail at
// some keys and be well.
//
// # Isolation
//
// Keys of two stores are kept apart by having a Cache for each.
package cache
