package cache_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// TestStoreThatComesBackIsNotMetByAllAtOnce: values in use that could not be read
// again for a while do not want to be all at the same moment.
func TestStoreThatComesBackIsNotMetByAllAtOnce(t *testing.T) {
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
		// use looks every key up, four times a second, and returns the loads in the
		// busiest second.
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
			t.Errorf("%d loads in the first second after the store came back, want at most twice the %d of before", got, steady)
		}
		use(12 * time.Second)
		for i := range keys {
			wantVersion(t, c, name(i), 2)
		}
		// And all is as before.
		use(20 * time.Second)
		if got := use(30 * time.Second); got > 2*steady {
			t.Errorf("%d loads in a second, a while after the store came back; before there were %d", got, steady)
		}
	})
}

// TestStoreThatComesBackHasRoomForWhatCannotWait: keys that are not held are read
// all the time, beside the values that want to be read again. The figures are those
// of the failure suite.
func TestStoreThatComesBackHasRoomForWhatCannotWait(t *testing.T) {
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
		// use looks up a tenth of the keys in each tick of a half second, and
		// returns the loads of each tick.
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
					_, _ = c.Lookup(t.Context(), key)
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
			t.Errorf("%d loads in the worst second after the store came back, want at most 1.7 times the %d of before", worst, steady)
		}
		for i := range keys {
			wantVersion(t, c, fmt.Sprint("key", i), 2)
		}
		t.Logf("%d loads a second before, %d in the worst second after", steady, worst)
	})
}

// TestOneBadRecordSlowsNoOtherDown: that a store is unavailable for one key again
// and again is no outage.
func TestOneBadRecordSlowsNoOtherDown(t *testing.T) {
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
			t.Errorf("%d refreshes were skipped, want none", got)
		}
	})
}

// TestFloodDoesNotKeepKeysOutThatComeAgain is trap 18 for good keys that are not
// held: after a restart, say.
func TestFloodDoesNotKeepKeysOutThatComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			good    = 100
			flood   = 2000 // a second
			seconds = 10
		)
		cfg := cache.DefaultConfig()
		cfg.MissesPerSecond, cfg.MissBurst = 100, 100
		s := newStore()
		for i := range good {
			s.set(fmt.Sprint("good", i), answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		in := map[int]bool{}
		for second := range seconds {
			for tenth := range 10 {
				for i := range flood / 10 {
					_, err := c.Lookup(t.Context(), fmt.Sprint("made up ", second, tenth, i))
					if !errors.Is(err, cache.ErrBusy) && !errors.Is(err, errAbsent) {
						t.Fatalf("a made-up key: %v", err)
					}
				}
				for i := tenth; i < good; i += 10 { // each asks once a second
					if _, err := c.Lookup(t.Context(), fmt.Sprint("good", i)); err == nil {
						in[i] = true
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if len(in) != good {
			t.Errorf("%d of %d good keys got in within %d s of a flood", len(in), good, seconds)
		}
		limit := int(cfg.MissesPerSecond)*seconds*5/4 + cfg.MissBurst*5/4
		if got := s.total(); got > limit {
			t.Errorf("%d loads, want at most %d", got, limit)
		}
	})
}

// TestKeyThatMadeRoomIsFamiliar: who was good before goes ahead of strangers.
func TestKeyThatMadeRoomIsFamiliar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Capacity, cfg.MissesPerSecond, cfg.MissBurst = 1, 0.001, 4
		s := newStore()
		c := open(t, cfg, s.load)
		for _, key := range []string{"alice", "bob"} {
			s.set(key, answer{record: record{version: 1}})
			wantVersion(t, c, key, 1)
		}
		wantError(t, c, "x", errAbsent)
		wantError(t, c, "y", errAbsent)
		wantError(t, c, "z", cache.ErrBusy)
		wantVersion(t, c, "alice", 1)
	})
}
