package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// invalidations are the ways to invalidate alice.
var invalidations = []struct {
	name string
	do   func(*cache.Cache[record])
}{
	{name: "one key", do: func(c *cache.Cache[record]) { c.Invalidate("alice") }},
	{name: "all keys", do: func(c *cache.Cache[record]) { c.InvalidateAll() }},
}

func TestInvalidateForgetsTheValue(t *testing.T) {
	t.Parallel()
	for _, test := range invalidations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.set("alice", answer{record: record{version: 1}})
				c := open(t, config(), s.load)
				wantVersion(t, c, "alice", 1)
				s.set("alice", answer{err: errAbsent})
				test.do(c)
				if got := c.Stats().Entries; got != 0 {
					t.Errorf("Entries = %d after invalidation, want 0", got)
				}
				wantError(t, c, "alice", errAbsent)
				s.set("alice", answer{record: record{version: 2}})
				test.do(c)
				wantVersion(t, c, "alice", 2)
			})
		})
	}
}

// An invalidated value is never served as a stale one.
func TestInvalidatedValueIsNotServedWhileTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, test := range invalidations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := stale(t, config(), answer{err: errDown})
				wantVersion(t, c, "alice", 1)
				test.do(c)
				wantError(t, c, "alice", errDown)
			})
		})
	}
}

func TestInvalidateWhileWaitingForASlowReloadBeatsStaleness(t *testing.T) {
	t.Parallel()
	for _, test := range invalidations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, s := stale(t, config(), answer{record: record{version: 1}, latency: time.Second})
				var wg sync.WaitGroup
				wg.Go(func() { wantError(t, c, "alice", errAbsent) })
				time.Sleep(50 * time.Millisecond)
				s.set("alice", answer{err: errAbsent})
				test.do(c)
				wg.Wait()
			})
		})
	}
}

// A load that began before the invalidation may have read an old value.
func TestInvalidateBeatsALoadInFlight(t *testing.T) {
	t.Parallel()
	for _, test := range invalidations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.set("alice", answer{record: record{version: 1}, latency: time.Second})
				c := open(t, config(), s.load)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() { wantVersion(t, c, "alice", 2) })
				}
				time.Sleep(500 * time.Millisecond)
				s.set("alice", answer{record: record{version: 2}, latency: 100 * time.Millisecond})
				test.do(c)
				// The waiting callers look up again, with one load.
				wantTook(t, 100*time.Millisecond, wg.Wait)
				// The result of the first load is dropped.
				time.Sleep(time.Second)
				synctest.Wait()
				wantVersion(t, c, "alice", 2)
				wantLoads(t, s, "alice", 2)
				if got := c.Stats(); got.VoidLoads != 1 || got.LoadsInFlight != 0 {
					t.Errorf("VoidLoads = %d, LoadsInFlight = %d; want 1, 0", got.VoidLoads, got.LoadsInFlight)
				}
			})
		})
	}
}

func TestInvalidateBeatsARefreshInFlight(t *testing.T) {
	t.Parallel()
	for _, test := range invalidations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.set("alice", answer{record: record{version: 1}})
				c := open(t, config(), s.load)
				wantVersion(t, c, "alice", 1)
				s.set("alice", answer{record: record{version: 1}, latency: time.Second})
				time.Sleep(50 * time.Second)
				wantVersion(t, c, "alice", 1)
				synctest.Wait()
				wantLoads(t, s, "alice", 2)
				s.set("alice", answer{err: errAbsent})
				test.do(c)
				time.Sleep(time.Second)
				synctest.Wait()
				wantError(t, c, "alice", errAbsent)
			})
		})
	}
}

// A "not found" from before the creation of the key must not be remembered.
func TestNotFoundOfAVoidLoadIsNotRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{err: errAbsent, latency: time.Second})
		c := open(t, config(), s.load)
		var wg sync.WaitGroup
		wg.Go(func() { wantVersion(t, c, "alice", 1) })
		time.Sleep(500 * time.Millisecond)
		s.set("alice", answer{record: record{version: 1}})
		c.Invalidate("alice")
		wg.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		wantVersion(t, c, "alice", 1)
	})
}

func TestLookupThatIsInvalidatedAgainAndAgainGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c *cache.Cache[record]
		loads := 0
		c = open(t, config(), func(_ context.Context, key string) (record, error) {
			loads++
			c.Invalidate(key)
			return record{version: 1}, nil
		})
		wantError(t, c, "alice", cache.ErrContended)
		if loads != 4 {
			t.Errorf("loads = %d, want 4", loads)
		}
	})
}

// A caller that has left before the invalidation must not cause another load.
func TestCallerThatHasLeftDoesNotLookUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var c *cache.Cache[record]
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c = open(t, config(), func(loadCtx context.Context, key string) (record, error) {
			cancel()
			c.Invalidate(key)
			return s.load(loadCtx, key)
		})
		if got, err := c.Lookup(ctx, "alice"); !errors.Is(err, context.Canceled) || got != (record{}) {
			t.Errorf("Lookup = %+v, %v; want context.Canceled", got, err)
		}
		synctest.Wait()
		wantLoads(t, s, "alice", 1)
	})
}

func TestInvalidateOfOneKeyLeavesOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		s.set("bob", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		wantVersion(t, c, "bob", 1)
		c.Invalidate("alice")
		wantVersion(t, c, "bob", 1)
		wantLoads(t, s, "bob", 1)
	})
}

// The same with real concurrency: after Invalidate has returned, no lookup returns an older
// value.
func TestConcurrentLookupsNeverReturnAnInvalidatedValue(t *testing.T) {
	t.Parallel()
	var versions [4]atomic.Int64
	keys := []string{"0", "1", "2", "3"}
	cfg := config()
	cfg.Capacity, cfg.MinTTL, cfg.TTL = 3, time.Microsecond, 100*time.Microsecond
	c := open(t, cfg, func(_ context.Context, key string) (record, error) {
		version := versions[key[0]-'0'].Load()
		runtime.Gosched() // lets an invalidation happen here
		return record{version: int(version)}, nil
	})
	look := func(i int) {
		least := int(versions[i].Load())
		c.Invalidate(keys[i])
		got, err := c.Lookup(t.Context(), keys[i])
		switch {
		case errors.Is(err, cache.ErrContended), errors.Is(err, cache.ErrBusy):
		case err != nil:
			t.Errorf("Lookup(%q) = %v, want no error", keys[i], err)
		case got.version < least:
			t.Errorf("Lookup(%q) = version %d after version %d was invalidated in", keys[i], got.version, least)
		}
	}
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			for range 2000 {
				versions[i].Add(1)
				look(i)
			}
		})
		wg.Go(func() {
			for n := range 4000 {
				if n%100 == 0 {
					c.InvalidateAll()
					_, _ = c.Keys(), c.Stats()
				}
				_, _ = c.Lookup(t.Context(), keys[i])
			}
		})
	}
	wg.Wait()
	if got := c.Stats(); got.Hits == 0 || got.VoidLoads == 0 {
		t.Errorf("Hits = %d, VoidLoads = %d, want some of both", got.Hits, got.VoidLoads)
	}
}
