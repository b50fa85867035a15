package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// A definite "not found" is remembered, for seconds.
func TestAbsentKeyIsRememberedForItsTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		c := open(t, config(), s.load)
		_, first := c.Lookup(t.Context(), "nobody")
		time.Sleep(5*time.Second - 1)
		if _, err := c.Lookup(t.Context(), "nobody"); err != first || !errors.Is(err, errAbsent) { //nolint:errorlint // the very same error
			t.Errorf("second error = %v, want the first one, %v", err, first)
		}
		wantLoads(t, s, "nobody", 1)
		time.Sleep(time.Nanosecond)
		wantError(t, c, "nobody", errAbsent)
		wantLoads(t, s, "nobody", 2)
	})
}

func TestAbsentKeyThatIsCreatedIsFoundAfterInvalidate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		c := open(t, config(), s.load)
		wantError(t, c, "alice", errAbsent)
		s.set("alice", answer{record: record{version: 1}})
		c.Invalidate("alice")
		wantVersion(t, c, "alice", 1)
	})
}

// Only a definite "not found" is remembered.
func TestOtherErrorsAreNotRemembered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
	}{
		{name: "unavailable", err: errDown},
		{name: "an error of no known kind", err: errBroken},
		{name: "a timeout", err: context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.set("alice", answer{err: test.err})
				c := open(t, config(), s.load)
				wantError(t, c, "alice", test.err)
				s.set("alice", answer{record: record{version: 1}})
				wantVersion(t, c, "alice", 1)
			})
		})
	}
}

func TestAbsentTTLOfZeroRemembersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.AbsentTTL = 0
		s := newStore()
		c := open(t, cfg, s.load)
		wantError(t, c, "alice", errAbsent)
		if got := c.Stats().AbsentEntries; got != 0 {
			t.Errorf("AbsentEntries = %d, want 0", got)
		}
		s.set("alice", answer{record: record{version: 1}})
		wantVersion(t, c, "alice", 1)
		deny(t, c, "alice")
		if got := c.Stats().AbsentEntries; got != 0 {
			t.Errorf("AbsentEntries = %d after a denial, want 0", got)
		}
	})
}

// The lifetime of absent keys has jitter, too.
func TestAbsenceIsShortenedByJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Jitter = 0.5
		s := newStore()
		c := open(t, cfg, s.load)
		const keys = 400
		visit := func() int {
			before := s.total()
			for i := range keys {
				wantError(t, c, fmt.Sprint(i), errAbsent)
			}
			return s.total() - before
		}
		visit()
		time.Sleep(2500*time.Millisecond - 1)
		if got := visit(); got != 0 {
			t.Errorf("%d of %d absent keys expired before half of AbsentTTL, want 0", got, keys)
		}
		time.Sleep(1250 * time.Millisecond)
		if got := visit(); got < keys/4 || got > keys*3/4 {
			t.Errorf("%d of %d absent keys expired by three quarters of AbsentTTL, want about half", got, keys)
		}
	})
}

// Absent keys do not evict values.
func TestRandomTokenFloodEvictsNoGoodEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Capacity, cfg.AbsentCapacity = 1000, 500
		const flood = 200_000
		c := open(t, cfg, func(_ context.Context, key string) (record, error) {
			if len(key) > 0 && key[0] == 'g' {
				return record{version: 1}, nil
			}
			return record{}, errAbsent
		})
		good := make([]string, cfg.Capacity)
		for i := range good {
			good[i] = fmt.Sprintf("good-%d", i)
			wantVersion(t, c, good[i], 1)
		}
		for i := range flood {
			if wantError(t, c, fmt.Sprintf("made-up-%d", i), errAbsent); t.Failed() {
				return
			}
		}
		loads := c.Stats().Loads
		for _, key := range good {
			wantVersion(t, c, key, 1)
		}
		got := c.Stats()
		if got.Loads != loads || got.Evictions != 0 {
			t.Errorf("%d good entries were evicted and %d loaded again, want 0 of both", got.Evictions, got.Loads-loads)
		}
		if got.AbsentEntries != cfg.AbsentCapacity || got.AbsentEvictions != uint64(flood-cfg.AbsentCapacity) {
			t.Errorf("AbsentEntries = %d, AbsentEvictions = %d; want %d, %d", got.AbsentEntries, got.AbsentEvictions, cfg.AbsentCapacity, flood-cfg.AbsentCapacity)
		}
	})
}

// The store gets loads up to the limit. Keys that are held are not affected.
func TestRandomTokenFloodIsLimitedAndHeldKeysAreNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MissesPerSecond = 25
		cfg.MaxStale, cfg.RefreshAhead = 0, 0
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		wantVersion(t, c, "alice", 1)
		time.Sleep(cfg.TTL)
		before, busy := s.total(), 0
		const tries = 1000
		for i := range tries {
			_, err := c.Lookup(t.Context(), fmt.Sprint(i))
			if errors.Is(err, cache.ErrBusy) {
				busy++
			}
		}
		// Two seconds of the rate at once.
		if got := s.total() - before; got != 50 || busy != tries-50 {
			t.Errorf("loads = %d, busy = %d; want 50, %d", got, busy, tries-50)
		}
		if got := c.Stats().Busy; got != uint64(busy) {
			t.Errorf("Stats().Busy = %d, want %d", got, busy)
		}
		s.set("alice", answer{record: record{version: 2}})
		wantVersion(t, c, "alice", 2) // expired, but still held
		time.Sleep(time.Second / 25)
		wantError(t, c, "one more", errAbsent)
		wantError(t, c, "two more", cache.ErrBusy)
	})
}
