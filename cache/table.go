package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A table holds everything that is known of a set of keys, under one lock: what
// is stored and which loads run are decided together, so a load can be voided
// and its key dropped in one step. A Cache has one table; the limits on loads
// are outside of it, so that keys could be spread over several.
//
// The LRU's eviction callback is not used: it runs under the lock, and not in
// every case.
type table[V any] struct {
	mu      sync.Mutex
	entries *simplelru.LRU[string, *entry[V]]
	// absent also has keys that are held, which Recheck has looked at. What is held
	// goes before what it says.
	absent *simplelru.LRU[string, absence]
	// flights are the loads whose result will count.
	flights map[string]*flight[V]
	closed  bool
	stats   Stats
}

func newTable[V any](capacity, absentCapacity int) *table[V] {
	t := &table[V]{flights: map[string]*flight[V]{}}
	t.empty(capacity, absentCapacity)
	return t
}

// empty drops all entries. It does so by starting over, which takes the same
// time for any number of them.
func (t *table[V]) empty(capacity, absentCapacity int) {
	// Their only error is for a capacity below 1, which Validate refuses.
	t.entries, _ = simplelru.NewLRU[string, *entry[V]](capacity, nil)
	t.absent, _ = simplelru.NewLRU[string, absence](absentCapacity, nil)
}

// void ends the waits for the load of a key, and keeps its result from being
// stored.
func (t *table[V]) void(key string, reason error) {
	if f := t.flights[key]; f != nil {
		delete(t.flights, key)
		var none V
		f.finish(none, reason)
	}
}

// A moment is counted from the making of the cache, by a clock that goes on
// evenly: setting the wall clock must not lengthen lives.
type moment = time.Duration

// An entry is a value, which never changes, and what may be done with it, which the
// lock of the table guards.
type entry[V any] struct {
	// freshUntil is the expiry.
	freshUntil moment
	// nextLoad is when a hit begins a background load.
	nextLoad moment
	// failing says that the last load found the store unavailable, and
	// readAsUnheld that it was one for a key that is not held.
	failing, readAsUnheld bool
	value                 V
	// read is when the last load ended.
	read moment
}

func (e *entry[V]) fresh(now moment) bool { return now < e.freshUntil }

// servable says whether the entry may be returned at all.
func (e *entry[V]) servable(now moment, maxStale time.Duration) bool {
	return now < e.freshUntil+maxStale
}

// storeDown says whether the store is taken to be unavailable, from what the last load
// said. As long as the entry is used, the next one ends within this time.
func (e *entry[V]) storeDown(now moment, c *Config) bool {
	return e.failing && now < e.read+c.RetryInterval+c.LoadTimeout
}

// An absence is the memory of a definite "not found", or with a nil err that of a
// value that Recheck has read anew.
type absence struct {
	err   error
	until moment
}

// A flight is a load under way.
type flight[V any] struct {
	key     string
	purpose purpose
	began   moment
	// done is closed once value and err are set, and they do not change after.
	done  chan struct{}
	value V
	err   error
	// unavailable says that err means that the store could not answer.
	unavailable bool
}

func (f *flight[V]) finish(value V, err error) {
	f.value, f.err = value, err
	close(f.done)
}
