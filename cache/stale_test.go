package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// stale returns a cache in which version 1 of alice has just expired, and a store that answers
// with then.
func stale(t *testing.T, cfg cache.Config, then answer) (*cache.Cache[record], *store) {
	t.Helper()
	s := newStore()
	s.set("alice", answer{record: record{version: 1}})
	c := open(t, cfg, s.load)
	wantVersion(t, c, "alice", 1)
	s.set("alice", then)
	time.Sleep(cfg.TTL)
	return c, s
}

// A stale value is served only while the store is unavailable.
func TestExpiredValueIsLoadedAgainBeforeItIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := stale(t, config(), answer{record: record{version: 2}, latency: 50 * time.Millisecond})
		wantTook(t, 50*time.Millisecond, func() { wantVersion(t, c, "alice", 2) })
		wantLoads(t, s, "alice", 2)
	})
}

// A stale value is served only for MaxStale.
func TestStaleValueIsServedWhileTheStoreIsUnavailableUntilMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := stale(t, config(), answer{err: errDown})
		for range 30 {
			wantVersion(t, c, "alice", 1)
			time.Sleep(time.Second)
		}
		wantError(t, c, "alice", errDown)
		s.set("alice", answer{record: record{version: 2}})
		wantVersion(t, c, "alice", 2)
	})
}

func TestStaleValueIsGoneAtMaxStaleWithoutUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := stale(t, config(), answer{err: errDown})
		time.Sleep(30*time.Second - 1)
		wantVersion(t, c, "alice", 1)
		time.Sleep(time.Nanosecond)
		wantError(t, c, "alice", errDown)
	})
}

func TestMaxStaleOfZeroDisablesStaleValues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxStale = 0
		c, _ := stale(t, cfg, answer{err: errDown})
		wantError(t, c, "alice", errDown)
	})
}

// A definite answer of the store removes a stale value.
func TestDefiniteAnswerDropsTheStaleValueAtOnce(t *testing.T) {
	t.Parallel()
	eachDefiniteAnswer(t, func(t *testing.T, definite error) {
		t.Helper()
		c, s := stale(t, config(), answer{err: errDown})
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{err: definite})
		time.Sleep(time.Second)
		wantVersion(t, c, "alice", 1) // begins the retry
		synctest.Wait()
		wantError(t, c, "alice", definite)
		s.set("alice", answer{err: errDown})
		time.Sleep(5 * time.Second) // longer than AbsentTTL
		wantError(t, c, "alice", errDown)
	})
}

// eachDefiniteAnswer runs a test on the fake clock with each definite answer of the store.
func eachDefiniteAnswer(t *testing.T, do func(t *testing.T, definite error)) {
	t.Helper()
	for name, definite := range map[string]error{
		"absent": errAbsent,
		"an error that is neither absent nor unavailable": errBroken,
		"a timeout that is not the cache's":               context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { do(t, definite) })
		})
	}
}

func TestDefiniteAnswerOfARefreshDropsTheFreshValue(t *testing.T) {
	t.Parallel()
	eachDefiniteAnswer(t, func(t *testing.T, definite error) {
		t.Helper()
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{err: definite})
		time.Sleep(50 * time.Second)
		wantVersion(t, c, "alice", 1)
		synctest.Wait()
		wantError(t, c, "alice", definite)
	})
}

func TestRetriesDuringAnOutageAreSpacedAndDelayNoLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := stale(t, config(), answer{err: errDown, latency: 50 * time.Millisecond})
		wantTook(t, 50*time.Millisecond, func() { wantVersion(t, c, "alice", 1) })
		begin := time.Now()
		for range 100 {
			wantTook(t, 0, func() { wantVersion(t, c, "alice", 1) })
			time.Sleep(100 * time.Millisecond)
		}
		// Each retry takes until 50 ms after a multiple of 100 ms, and the next
		// begins at the first lookup a second later.
		if got, most := s.loaded("alice")-2, int(time.Since(begin)/time.Second); got > most || got < most-2 {
			t.Errorf("%d retries in %s, want about one a second", got, time.Since(begin))
		}
	})
}

// Only the first lookup waits for a load.
func TestStaleAnswersAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := stale(t, config(), answer{err: errDown})
		for want := range uint64(3) {
			if got := c.Stats().StaleHits; got != want {
				t.Errorf("StaleHits = %d, want %d", got, want)
			}
			wantVersion(t, c, "alice", 1)
		}
	})
}

func TestNextRetryNoticesThatTheStoreRecovered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := stale(t, config(), answer{err: errDown})
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{record: record{version: 2}})
		time.Sleep(time.Second)
		wantVersion(t, c, "alice", 1)
		synctest.Wait()
		wantVersion(t, c, "alice", 2)
	})
}

// After a pause in use it is not known whether the store is still unavailable.
func TestStoreIsAskedAgainAfterAPauseInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, s := stale(t, cfg, answer{err: errDown})
		wantVersion(t, c, "alice", 1)
		s.set("alice", answer{record: record{version: 2}})
		time.Sleep(cfg.RetryInterval + cfg.LoadTimeout)
		wantVersion(t, c, "alice", 2)
	})
}

func TestSlowLoadIsWaitedForBrieflyAndItsResultIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := stale(t, config(), answer{record: record{version: 2}, latency: time.Second})
		wantTook(t, 100*time.Millisecond, func() { wantVersion(t, c, "alice", 1) })
		// The load is known to be slow, so later lookups do not wait.
		wantTook(t, 0, func() { wantVersion(t, c, "alice", 1) })
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		wantVersion(t, c, "alice", 2)
		wantLoads(t, s, "alice", 2)
	})
}

func TestSlowLoadOfAKeyThatIsNotHeldIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: time.Second})
		c := open(t, config(), s.load)
		wantTook(t, time.Second, func() { wantVersion(t, c, "alice", 1) })
	})
}

func TestMaxStaleThatPassesDuringAWaitIsNotExtended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, s := stale(t, cfg, answer{record: record{version: 2}, latency: time.Second})
		time.Sleep(cfg.MaxStale - 50*time.Millisecond)
		wantTook(t, time.Second, func() { wantVersion(t, c, "alice", 2) })
		wantLoads(t, s, "alice", 2)
	})
}

// A load timeout counts as unavailable without a rule.
func TestLoadThatTimesOutCountsAsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, s := stale(t, cfg, answer{latency: time.Hour})
		wantVersion(t, c, "alice", 1)
		time.Sleep(cfg.LoadTimeout)
		synctest.Wait()
		wantVersion(t, c, "alice", 1)
		if got := c.Stats().LoadErrors; got != 1 {
			t.Errorf("LoadErrors = %d, want 1", got)
		}
		wantLoads(t, s, "alice", 2)
	})
}

// A flood does not deny good clients, and does not extend MaxStale.
func TestStaleValueIsServedWhenLimitsRefuseALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxLoads, cfg.LoadTimeout = 4, time.Hour
		s := newStore()
		held := []string{"a", "b", "c", "d", "e"}
		for _, key := range held {
			s.set(key, answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		for _, key := range held {
			wantVersion(t, c, key, 1)
			s.set(key, answer{latency: time.Hour})
		}
		time.Sleep(cfg.TTL)
		for _, key := range held[:4] { // take all slots
			wantVersion(t, c, key, 1)
		}
		wantTook(t, 0, func() { wantVersion(t, c, "e", 1) })
		wantLoads(t, s, "e", 1)
		if got := c.Stats().StaleHits; got != 5 {
			t.Errorf("StaleHits = %d, want 5", got)
		}
		time.Sleep(cfg.MaxStale)
		wantError(t, c, "e", cache.ErrBusy)
	})
}
