package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A table has the entries of a set of keys and their loads in flight, under one lock, so that
// voiding a load and removing its key are one step. A Cache has one table. The limits of loads
// are outside of it, so that the keys could be spread over several tables.
//
// It does not use the eviction callback of the LRU, which runs under the lock and not in every
// case.
type table[V any] struct {
	mu      sync.Mutex
	entries *simplelru.LRU[string, *entry[V]]
	// absent also has keys of Recheck that are held. For lookups the held value takes
	// precedence.
	absent *simplelru.LRU[string, absence]
	// calls are the loads in flight whose result is stored.
	calls  map[string]*call[V]
	closed bool
	stats  Stats
}

func newTable[V any](capacity, absentCapacity int) *table[V] {
	t := &table[V]{calls: map[string]*call[V]{}}
	t.empty(capacity, absentCapacity)
	return t
}

// empty removes all entries. It creates new tables, which takes the same time for any number of
// entries.
func (t *table[V]) empty(capacity, absentCapacity int) {
	// The only possible error is a capacity below 1, which Validate refuses.
	t.entries, _ = simplelru.NewLRU[string, *entry[V]](capacity, nil)
	t.absent, _ = simplelru.NewLRU[string, absence](absentCapacity, nil)
}

// void ends the waits for the load of a key, whose result is then not stored.
func (t *table[V]) void(key string, reason error) {
	if f := t.calls[key]; f != nil {
		delete(t.calls, key)
		var none V
		f.finish(none, reason)
	}
}

// A moment is the time since the creation of the cache on the monotonic clock: a change of the
// wall clock must not extend lifetimes.
type moment = time.Duration

// An entry is an immutable value with its state, which the lock of the table guards.
type entry[V any] struct {
	// freshUntil is the expiry.
	freshUntil moment
	// nextLoad is when a hit begins a background load.
	nextLoad moment
	// failing says that the last load found the store unavailable, and readAsUnheld that it
	// was a load for a key that is not held.
	failing, readAsUnheld bool
	value                 V
	// read is when the last load ended.
	read moment
}

func (e *entry[V]) fresh(now moment) bool { return now < e.freshUntil }

// servable says whether the entry may be returned, fresh or stale.
func (e *entry[V]) servable(now moment, maxStale time.Duration) bool {
	return now < e.freshUntil+maxStale
}

// storeDown says whether the store counts as unavailable after the last load. While the entry is
// used, the next load ends within this time.
func (e *entry[V]) storeDown(now moment, c *Config) bool {
	return e.failing && now < e.read+c.RetryInterval+c.LoadTimeout
}

// An absence is a remembered "not found" or, with a nil err, a value that Recheck has loaded.
type absence struct {
	err   error
	until moment
}

// A call is a load in flight that callers share (singleflight).
type call[V any] struct {
	key     string
	purpose purpose
	began   moment
	// done is closed once value and err are set. They do not change afterwards.
	done  chan struct{}
	value V
	err   error
	// unavailable says that err means that the store could not answer.
	unavailable bool
}

func (f *call[V]) finish(value V, err error) {
	f.value, f.err = value, err
	close(f.done)
}
