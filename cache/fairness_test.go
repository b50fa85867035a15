package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// TestLoadsAfterAnOutageAreSpread shows that the values in use are not loaded again all at the
// same moment after an outage.
func TestLoadsAfterAnOutageAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 200
		cfg := cache.DefaultConfig()
		cfg.TTL, cfg.MissesPerSecond = 10*time.Second, 0
		s := newStore()
		name := func(i int) string { return fmt.Sprint("key", i) }
		answerAll := func(a answer) {
			for i := range keys {
				s.set(name(i), a)
			}
		}
		answerAll(answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		// use looks up every key four times a second and returns the loads in the busiest
		// second.
		use := func(d time.Duration) (most int) {
			for range int(d / time.Second) {
				before := s.total()
				for range 4 {
					for i := range keys {
						if _, err := c.Lookup(t.Context(), name(i)); err != nil {
							t.Fatalf("Lookup(%q) = %v, want no error", name(i), err)
						}
					}
					time.Sleep(250 * time.Millisecond)
				}
				most = max(most, s.total()-before)
			}
			return most
		}
		use(60 * time.Second)
		steady := use(30 * time.Second)
		answerAll(answer{err: errDown})
		use(20 * time.Second)
		answerAll(answer{record: record{version: 2}})
		if got := use(time.Second); got > 2*steady {
			t.Errorf("%d loads in the first second after the outage, want at most twice the %d before", got, steady)
		}
		use(12 * time.Second)
		for i := range keys {
			wantVersion(t, c, name(i), 2)
		}
		// Later the rate is as before.
		use(20 * time.Second)
		if got := use(30 * time.Second); got > 2*steady {
			t.Errorf("%d loads in a second, some time after the outage; before it there were %d", got, steady)
		}
	})
}

// TestSlowStartLeavesRoomForLoadsThatCannotWait shows that keys that are not held are loaded
// during a slow start. The figures are those of test/chaos.
func TestSlowStartLeavesRoomForLoadsThatCannotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, tick, missesPerTick = 200, 50 * time.Millisecond, 2
		cfg := cache.DefaultConfig()
		cfg.TTL = 6 * time.Second
		s := newStore()
		down := false
		answerAll := func(a answer) {
			down = a.err != nil
			for i := range keys {
				s.set(fmt.Sprint("key", i), a)
			}
		}
		answerAll(answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		asked, n := 0, 0
		// use looks up a tenth of the keys in each tick of half a second and returns the
		// loads of each tick.
		use := func(d time.Duration) (loads []int) {
			for range int(d / tick) {
				before := s.total()
				for i := asked % 20; i < keys; i += 20 {
					if _, err := c.Lookup(t.Context(), fmt.Sprint("key", i)); err != nil {
						t.Fatalf("Lookup = %v, want no error", err)
					}
				}
				asked++
				for range missesPerTick {
					n++
					key := fmt.Sprint("unknown", n)
					if down {
						s.set(key, answer{err: errDown})
					}
					if _, err := c.Lookup(t.Context(), key); !down && !errors.Is(err, errAbsent) {
						t.Fatalf("a key that is not held: %v, want %v", err, errAbsent)
					}
				}
				time.Sleep(tick)
				loads = append(loads, s.total()-before)
			}
			return loads
		}
		sum := func(loads []int) (all int) {
			for _, l := range loads {
				all += l
			}
			return all
		}
		use(60 * time.Second)
		steady := sum(use(30*time.Second)) / 30
		answerAll(answer{err: errDown})
		use(6 * time.Second)
		answerAll(answer{record: record{version: 2}})
		back, worst := use(5*time.Second), 0
		for i := range len(back) - 20 {
			worst = max(worst, sum(back[i:i+20]))
		}
		if worst*10 > steady*17 {
			t.Errorf("%d loads in the worst second after the outage, want at most 1.7 times the %d before", worst, steady)
		}
		for i := range keys {
			wantVersion(t, c, fmt.Sprint("key", i), 2)
		}
		t.Logf("%d loads a second before, %d in the worst second after", steady, worst)
	})
}

// TestOneBadRecordDoesNotDelayOthers shows that repeated failures for one key are not an
// outage.
func TestOneBadRecordDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 50
		cfg := cache.DefaultConfig()
		cfg.TTL, cfg.MissesPerSecond, cfg.MaxStale = 10*time.Second, 0, 0
		s := newStore()
		for i := range keys {
			s.set(fmt.Sprint("key", i), answer{record: record{version: 1}})
		}
		s.set("bad", answer{err: errDown})
		c := open(t, cfg, s.load)
		for range 300 {
			for i := range keys {
				wantVersion(t, c, fmt.Sprint("key", i), 1)
			}
			wantError(t, c, "bad", errDown)
			time.Sleep(100 * time.Millisecond)
		}
		if got := c.Stats().RefreshesSkipped; got != 0 {
			t.Errorf("%d refreshes were skipped, want 0", got)
		}
	})
}

// A flood of random keys. key returns the number of the key of the n-th request.
type flood struct {
	name      string
	perSecond int
	key       func(n int) int
	// want is how many of a hundred good keys must be found.
	want int
}

// TestFloodDoesNotLockOutKeysThatAreRetried covers good keys that are not held, for example
// after a restart. Each is requested five times, once a second, during a flood, with the
// default limits. The figures are those of docs/explanation/cache.md.
func TestFloodDoesNotLockOutKeysThatAreRetried(t *testing.T) {
	t.Parallel()
	for _, f := range []flood{
		{"each key once", 5000, func(n int) int { return n }, 100},
		{"the same keys again and again", 5000, func(n int) int { return n % 20_000 }, 100},
		{"each key twice in a row", 5000, func(n int) int { return n / 2 }, 60},
		{"each key twice", 5000, shuffled(2), 60},
		{"each key three times", 5000, shuffled(3), 60},
		{"each key four times", 5000, shuffled(4), 60},
		{"each key once, twice as many", 10_000, func(n int) int { return n }, 80},
		{"each key twice, twice as many", 10_000, shuffled(2), 40},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f.try(t) })
		})
	}
}

// shuffled returns a flood that repeats keys in random order.
func shuffled(times int) func(n int) int {
	const block = 1200
	order := rand.New(rand.NewPCG(3, 4)).Perm(block)
	return func(n int) int { return n/block*(block/times) + order[n%block]%(block/times) }
}

func (f flood) try(t *testing.T) {
	t.Helper()
	const (
		good, tries = 100, 5
		ticks       = 50 // a second
		before      = 20 // seconds
	)
	cfg := cache.DefaultConfig()
	s := newStore()
	for i := range good {
		s.set(fmt.Sprint("good", i), answer{record: record{version: 1}})
	}
	c := open(t, cfg, s.load)
	in, chance := map[int]bool{}, rand.New(rand.NewPCG(1, 2))
	for tick := range ticks * (before + tries) {
		// Two good keys are among the others.
		at := [good / ticks]int{chance.IntN(f.perSecond / ticks), chance.IntN(f.perSecond / ticks)}
		for i := range f.perSecond / ticks {
			for j, here := range at {
				if tick < ticks*before || i != here {
					continue
				}
				k := tick%ticks*len(at) + j
				if _, err := c.Lookup(t.Context(), fmt.Sprint("good", k)); err == nil {
					in[k] = true
				}
			}
			_, err := c.Lookup(t.Context(), fmt.Sprint("made up ", f.key(tick*(f.perSecond/ticks)+i)))
			if !errors.Is(err, cache.ErrBusy) && !errors.Is(err, errAbsent) {
				t.Fatalf("a random key: %v", err)
			}
		}
		time.Sleep(time.Second / ticks)
	}
	t.Logf("%s: %d of %d good keys were found", f.name, len(in), good)
	if len(in) < f.want {
		t.Errorf("%d of %d good keys were found, want at least %d", len(in), good, f.want)
	}
	limit := int(cfg.MissesPerSecond * (2 + before + tries) * 5 / 4)
	if got := s.total(); got > limit {
		t.Errorf("%d loads, want at most %d", got, limit)
	}
}

// TestEvictedKeyIsTreatedLikeAnyOther shows that a client cannot find out which keys were in
// the cache.
func TestEvictedKeyIsTreatedLikeAnyOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Capacity, cfg.MissesPerSecond = 1, 1
		s := newStore()
		c := open(t, cfg, s.load)
		for _, key := range []string{"alice", "bob"} {
			s.set(key, answer{record: record{version: 1}})
			wantVersion(t, c, key, 1)
		}
		wantError(t, c, "unknown", cache.ErrBusy)
		wantError(t, c, "alice", cache.ErrBusy)
		wantVersion(t, c, "alice", 1) // the retry
	})
}

// TestFailingLoadsOfRandomKeysDelayNoRefresh: the store fails only for random keys.
func TestFailingLoadsOfRandomKeysDelayNoRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 300
		cfg := cache.DefaultConfig()
		cfg.TTL, cfg.MaxStale = 10*time.Second, 0
		s := newStore()
		for i := range keys {
			s.set(fmt.Sprint("key", i), answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		n := 0
		for tick := range 600 {
			for i := range min(keys, 3*tick) {
				wantVersion(t, c, fmt.Sprint("key", i), 1)
			}
			// These would be outages and recoveries, if they counted.
			for i := range 20 {
				n++
				key := fmt.Sprint("made up ", n)
				if i < 15 {
					s.set(key, answer{err: errDown})
				}
				_, _ = c.Lookup(t.Context(), key)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := c.Stats(); got.RefreshesSkipped != 0 || got.StaleHits != 0 {
			t.Errorf("RefreshesSkipped = %d, StaleHits = %d, want 0 of both", got.RefreshesSkipped, got.StaleHits)
		}
	})
}

// TestFloodDoesNotUseUpTheQuotaOfTheStore: the quota of the store is lower than the rate of a
// flood, and keys that are held need a part of it.
func TestFloodDoesNotUseUpTheQuotaOfTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, quota, ticks, calm = 100, 100, 50, 20
		cfg := cache.DefaultConfig()
		cfg.TTL = 5 * time.Second
		left := quota
		var mu sync.Mutex
		c := open(t, cfg, func(_ context.Context, key string) (record, error) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				return record{}, errQuota
			}
			if key[0] == 'k' {
				return record{version: 1}, nil
			}
			return record{}, errAbsent
		})
		for i := range keys {
			wantVersion(t, c, fmt.Sprint("key", i), 1)
		}
		lost, n, chance := 0, 0, rand.New(rand.NewPCG(5, 6))
		for tick := range 60 * ticks {
			if tick%ticks == 0 {
				mu.Lock()
				left = quota
				mu.Unlock()
			}
			for range 1000 / ticks {
				if n++; tick > calm*ticks {
					_, _ = c.Lookup(t.Context(), fmt.Sprint("made up ", n))
				}
			}
			for range keys / 5 {
				if _, err := c.Lookup(t.Context(), fmt.Sprint("key", chance.IntN(keys))); err != nil {
					lost++
				}
			}
			time.Sleep(time.Second / ticks)
		}
		if lost > 0 {
			t.Errorf("%d lookups of keys that were held failed, want 0", lost)
		}
	})
}
