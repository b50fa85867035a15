package cache

import (
	"fmt"
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
	mu sync.Mutex
	// entries and absent have no key in common.
	entries *simplelru.LRU[string, *entry[V]]
	absent  *simplelru.LRU[string, absence]
	// flights are the loads whose result will count.
	flights map[string]*flight[V]
	closed  bool
	stats   Stats
}

func newTable[V any](capacity, absentCapacity int) (*table[V], error) {
	t := &table[V]{flights: map[string]*flight[V]{}}
	if err := t.empty(capacity, absentCapacity); err != nil {
		return nil, err
	}
	return t, nil
}

// empty drops all entries. It does so by starting over, which takes the same
// time for any number of them.
func (t *table[V]) empty(capacity, absentCapacity int) error {
	entries, err := simplelru.NewLRU[string, *entry[V]](capacity, nil)
	if err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	absent, err := simplelru.NewLRU[string, absence](absentCapacity, nil)
	if err != nil {
		return fmt.Errorf("absent keys: %w", err)
	}
	t.entries, t.absent = entries, absent
	return nil
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

// An instant is a moment as both clocks have it: the wall clock for deadlines,
// which come from outside, the other, counted from the making of the cache, for
// lives, which setting the wall clock must not lengthen.
type instant struct {
	wall  time.Time
	since time.Duration
}

// An entry is a value and what may be done with it. The value and its deadline
// never change; the rest is guarded by the lock of the table.
type entry[V any] struct {
	value    V
	deadline time.Time
	// freshUntil is the expiry.
	freshUntil time.Duration
	// nextLoad is when a hit begins a background load.
	nextLoad time.Duration
	// unavailableUntil is until when the store is taken to be unavailable,
	// from the last load that said so.
	unavailableUntil time.Duration
}

func (e *entry[V]) fresh(now instant) bool {
	return now.since < e.freshUntil && !past(e.deadline, now)
}

// servable says whether the entry may be returned at all.
func (e *entry[V]) servable(now instant, maxStale time.Duration) bool {
	return now.since < e.freshUntil+maxStale && !past(e.deadline, now)
}

// past says whether a deadline has been reached; the zero deadline never is.
func past(deadline time.Time, now instant) bool {
	return !deadline.IsZero() && !now.wall.Before(deadline)
}

// An absence is the memory of a definite "not found".
type absence struct {
	err   error
	until time.Duration
}

// A flight is a load under way.
type flight[V any] struct {
	key     string
	purpose purpose
	began   instant
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
