package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/vault-authz/vault-authz/cache"
)

func TestFreshValueIsAnsweredWithoutALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{record: record{version: 2}})
		time.Sleep(30 * time.Second)
		wantVersion(t, c, "alice", 1)
		wantLoads(t, s, "alice", 1)
	})
}

// Zero, negative and huge lifetimes are clamped.
func TestLifetimeOfAValueIsClamped(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.TTL, cfg.MinTTL, cfg.MaxTTL = time.Minute, 10*time.Second, time.Hour
	cfg.MaxStale = 0
	for _, test := range []struct {
		name     string
		ttl      time.Duration
		lifetime time.Duration
	}{
		{name: "none given is the configured TTL", ttl: 0, lifetime: time.Minute},
		{name: "within bounds is taken as it is", ttl: 90 * time.Second, lifetime: 90 * time.Second},
		{name: "too short is raised", ttl: time.Millisecond, lifetime: 10 * time.Second},
		{name: "negative is raised", ttl: -1, lifetime: 10 * time.Second},
		{name: "too long is cut", ttl: 1<<63 - 1, lifetime: time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := cfg
				cfg.RefreshAhead = 0
				s := newStore()
				s.set("alice", answer{record: record{version: 1, ttl: test.ttl}})
				c := open(t, cfg, s.load)
				wantVersion(t, c, "alice", 1)
				s.set("alice", answer{record: record{version: 2}})
				time.Sleep(test.lifetime - 1)
				wantVersion(t, c, "alice", 1)
				time.Sleep(time.Nanosecond)
				wantVersion(t, c, "alice", 2)
			})
		})
	}
}

func TestLifetimeBeginsWithTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxStale, cfg.RefreshAhead = 0, 0
		s := newStore()
		s.set("alice", answer{record: record{version: 1, ttl: 10 * time.Second}, latency: time.Second})
		c := open(t, cfg, s.load)
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{record: record{version: 2}})
		time.Sleep(9*time.Second - 1)
		wantVersion(t, c, "alice", 1)
		time.Sleep(time.Nanosecond)
		wantVersion(t, c, "alice", 2)
	})
}

// Values that were loaded together do not expire together, and no value exceeds its lifetime.
func TestJitterShortensLifetimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Jitter, cfg.MaxStale, cfg.RefreshAhead = 0.1, 0, 0
		cfg.TTL = 100 * time.Second
		s := newStore()
		c := open(t, cfg, s.load)
		const keys = 400
		expired := func() int {
			return int(c.Stats().Loads) - keys
		}
		visit := func() {
			for i := range keys {
				wantVersion(t, c, fmt.Sprint(i), 1)
			}
		}
		for i := range keys {
			s.set(fmt.Sprint(i), answer{record: record{version: 1}})
		}
		visit()
		time.Sleep(90*time.Second - 1)
		visit()
		if got := expired(); got != 0 {
			t.Errorf("%d of %d values expired before 90%% of their lifetime, want 0", got, keys)
		}
		time.Sleep(5 * time.Second)
		visit()
		if got := expired(); got < keys/4 || got > keys*3/4 {
			t.Errorf("%d of %d values expired by 95%% of their lifetime, want about half", got, keys)
		}
		time.Sleep(5*time.Second + 1)
		visit()
		if got := expired(); got != keys {
			t.Errorf("%d of %d values expired by the end of their lifetime, want all", got, keys)
		}
	})
}

// A value in use is loaded before it expires, by one load for which no caller waits.
func TestRefreshAheadIsOneLoadWithoutAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{record: record{version: 2}, latency: time.Second})

		time.Sleep(48*time.Second - 1)
		wantVersion(t, c, "alice", 1)
		synctest.Wait()
		wantLoads(t, s, "alice", 1)

		time.Sleep(time.Nanosecond)
		wantTook(t, 0, func() {
			for range 100 {
				wantVersion(t, c, "alice", 1)
			}
		})
		synctest.Wait()
		wantLoads(t, s, "alice", 2)

		time.Sleep(time.Second)
		synctest.Wait()
		wantVersion(t, c, "alice", 2)
		time.Sleep(40 * time.Second)
		wantVersion(t, c, "alice", 2)
		synctest.Wait()
		wantLoads(t, s, "alice", 2)
		if got := c.Stats().Refreshes; got != 1 {
			t.Errorf("Refreshes = %d, want 1", got)
		}
	})
}

func TestUnusedValueIsNotRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantLoads(t, s, "alice", 1)
	})
}

func TestRefreshThatFindsTheStoreDownIsRetriedAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{err: errDown})
		time.Sleep(50 * time.Second)
		for range 50 { // five seconds, the value is still fresh
			wantVersion(t, c, "alice", 1)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		wantLoads(t, s, "alice", 1+5)
	})
}

// A caller with a canceled context gets no value.
func TestCancelledLookupReturnsAnErrorNeverAValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, key := range []string{"alice", "bob"} {
			got, err := c.Lookup(ctx, key)
			if !errors.Is(err, context.Canceled) || got != (record{}) {
				t.Errorf("Lookup(cancelled, %q) = %+v, %v; want context.Canceled", key, got, err)
			}
		}
		if got, news, err := c.Recheck(ctx, "alice", time.Now()); !errors.Is(err, context.Canceled) || news || got != (record{}) {
			t.Errorf("Recheck(cancelled) = %+v, news %t, %v; want context.Canceled", got, news, err)
		}
		synctest.Wait()
		wantLoads(t, s, "alice", 1)
		wantLoads(t, s, "bob", 0)
	})
}

// A lateContext has an error once err is set, but its Done channel stays open.
type lateContext struct {
	context.Context
	over atomic.Bool
}

func (c *lateContext) Err() error {
	if c.over.Load() {
		return context.Canceled
	}
	return nil
}

// The load ends and the context is canceled at the same moment.
func TestValueOfACanceledLookupIsNotReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := &lateContext{Context: context.Background()}
		c := open(t, config(), func(context.Context, string) (record, error) {
			ctx.over.Store(true)
			return record{version: 1}, nil
		})
		if got, err := c.Lookup(ctx, "alice"); !errors.Is(err, context.Canceled) || got != (record{}) {
			t.Errorf("Lookup = %+v, %v; want context.Canceled", got, err)
		}
	})
}

func TestLeastRecentlyUsedValueIsEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Capacity = 2
		s := newStore()
		for _, key := range []string{"a", "b", "c"} {
			s.set(key, answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		for _, key := range []string{"a", "b", "a", "c", "a"} {
			wantVersion(t, c, key, 1)
		}
		wantLoads(t, s, "a", 1)
		if got := strings.Join(slices.Sorted(slices.Values(c.Keys())), " "); got != "a c" {
			t.Errorf("Keys() = %q, want %q", got, "a c")
		}
		if st := c.Stats(); st.Evictions != 1 || st.Entries != 2 {
			t.Errorf("Evictions = %d, Entries = %d; want 1, 2", st.Evictions, st.Entries)
		}
	})
}

// The caller's key may be a part of a receive buffer.
func TestKeyIsCopiedBeforeItIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: time.Second})
		c := open(t, config(), s.load)
		buffer := []byte("alice")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Lookup(ctx, unsafe.String(&buffer[0], len(buffer))); !errors.Is(err, cache.ErrSlow) {
			t.Fatalf("Lookup = %v, want cache.ErrSlow", err)
		}
		copy(buffer, "mallo")
		time.Sleep(time.Second)
		synctest.Wait()
		wantVersion(t, c, "alice", 1)
		if got := strings.Join(c.Keys(), " "); got != "alice" {
			t.Errorf("Keys() = %q, want %q", got, "alice")
		}
		// The store counts by the same overwritten key, so its count would not show it.
		if got := c.Stats(); got.Loads != 1 || got.VoidLoads != 0 {
			t.Errorf("Loads = %d, VoidLoads = %d; want 1, 0", got.Loads, got.VoidLoads)
		}
	})
}

func TestStatsCountEachKindOfLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		s.set("down", answer{err: errDown})
		cfg := config()
		c := open(t, cfg, s.load)
		for range 3 {
			wantVersion(t, c, "alice", 1)
			wantError(t, c, "nobody", errAbsent)
		}
		wantError(t, c, "down", errDown)
		want := cache.Stats{
			Hits: 2, AbsentHits: 2, Misses: 3, Loads: 3, LoadErrors: 1,
			Entries: 1, AbsentEntries: 1, WorstStaleness: cfg.MaxTTL + cfg.MaxStale,
		}
		if got := c.Stats(); got != want {
			t.Errorf("Stats() = %+v, want %+v", got, want)
		}
	})
}
