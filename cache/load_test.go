package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// A stampede causes one load.
func TestStampedeOfTenThousandIsOneLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 10_000
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: time.Second})
		c := open(t, config(), s.load)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if got, err := c.Lookup(t.Context(), "alice"); err != nil || got.version != 1 {
					t.Errorf("Lookup = %+v, %v; want version 1", got, err)
				}
			})
		}
		wg.Wait()
		wantLoads(t, s, "alice", 1)
		if got := c.Stats().CoalescedWaits; got != callers-1 {
			t.Errorf("CoalescedWaits = %d, want %d", got, callers-1)
		}
	})
}

// The same with an expired value, and with an error.
func TestStampedeOnAnExpiredOrFailingKeyIsOneLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		then answer
		want error
	}{
		{name: "expired", then: answer{record: record{version: 2}, latency: 50 * time.Millisecond}},
		{name: "absent", then: answer{err: errAbsent, latency: 50 * time.Millisecond}, want: errAbsent},
		{name: "unavailable, stale stands in", then: answer{err: errDown, latency: 50 * time.Millisecond}},
		{name: "broken", then: answer{err: errBroken, latency: 50 * time.Millisecond}, want: errBroken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, s := stale(t, config(), test.then)
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						if _, err := c.Lookup(t.Context(), "alice"); !errors.Is(err, test.want) {
							t.Errorf("Lookup = %v, want error %v", err, test.want)
						}
					})
				}
				wg.Wait()
				wantLoads(t, s, "alice", 2)
			})
		})
	}
}

// A caller that leaves must not cancel the load of the others.
func TestLoadOutlivesTheCallerSoThatTheRetryHits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: time.Second})
		c := open(t, config(), s.load)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		wantTook(t, 150*time.Millisecond, func() {
			if got, err := c.Lookup(ctx, "alice"); !errors.Is(err, cache.ErrSlow) || got != (record{}) {
				t.Errorf("Lookup = %+v, %v; want ErrSlow", got, err)
			}
		})
		wantTook(t, 850*time.Millisecond, func() { wantVersion(t, c, "alice", 1) })
		wantLoads(t, s, "alice", 1)
	})
}

// A gateway without a timely answer decides itself, and may allow the request.
func TestSlowLoadLeavesTheCallerTimeToAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ budget, latest time.Duration }{
		{200 * time.Millisecond, 150 * time.Millisecond},
		{10 * time.Second, 7500 * time.Millisecond},
		{50 * time.Millisecond, 30 * time.Millisecond},
		{10 * time.Millisecond, 5 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			s.set("alice", answer{record: record{version: 1}, latency: time.Minute})
			cfg := cache.DefaultConfig()
			cfg.LoadTimeout = time.Hour
			c := open(t, cfg, s.load)
			ctx, cancel := context.WithTimeout(t.Context(), test.budget)
			defer cancel()
			began := time.Now()
			_, err := c.Lookup(ctx, "alice")
			if took := time.Since(began); !errors.Is(err, cache.ErrSlow) || took != test.latest {
				t.Errorf("with %s: got %v after %s, want ErrSlow after %s", test.budget, err, took, test.latest)
			}
			time.Sleep(time.Minute)
			if got, err := c.Lookup(t.Context(), "alice"); err != nil || got.version != 1 {
				t.Errorf("after the load: got %v, %v", got, err)
			}
		})
	}
}

// Envoy has a limit of calls in flight, and decides itself about further calls.
func TestManyCallersDoNotWaitForAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{latency: time.Minute})
		c := open(t, config(), s.load)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var patient, hasty atomic.Int64
		for range 1000 {
			wg.Go(func() {
				began := time.Now()
				_, err := c.Lookup(ctx, "alice")
				switch took := time.Since(began); {
				case err == nil:
					t.Error("an answer from a store that hangs")
				case took <= 50*time.Millisecond:
					hasty.Add(1)
				default:
					patient.Add(1)
				}
			})
		}
		wg.Wait()
		if patient.Load() != 256 || hasty.Load() != 744 {
			t.Errorf("%d callers waited and %d did not, want 256 and 744", patient.Load(), hasty.Load())
		}
	})
}

func TestLoadDoesNotUseTheContextOfTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		c := open(t, config(), func(ctx context.Context, _ string) (record, error) {
			deadline, _ := ctx.Deadline()
			if got := time.Until(deadline); got != 2*time.Second {
				t.Errorf("the load may take %s, want the LoadTimeout of 2s", got)
			}
			if ctx.Value(key{}) != nil {
				t.Error("the load sees a value of its first caller's context")
			}
			return record{version: 1}, nil
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Millisecond)
		defer cancel()
		if _, err := c.Lookup(ctx, "alice"); err != nil {
			t.Errorf("Lookup = %v, want no error", err)
		}
	})
}

func TestLoadIsCancelledAtItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{latency: time.Hour})
		c := open(t, config(), s.load)
		wantTook(t, 2*time.Second, func() { wantError(t, c, "alice", context.DeadlineExceeded) })
	})
}

// A panic is an error for all waiting callers, and the error does not contain the key.
func TestPanicInTheLoaderIsAnErrorWithoutTheKey(t *testing.T) {
	t.Parallel()
	ok := func(context.Context, string) (record, error) { return record{version: 1}, nil }
	for _, test := range []struct {
		name string
		load cache.Loader[record]
		rule func(record) time.Duration
	}{
		{name: "loader panics", load: func(_ context.Context, key string) (record, error) {
			time.Sleep(time.Second)
			panic("cannot read " + key)
		}},
		{name: "loader ends its goroutine", load: func(context.Context, string) (record, error) {
			time.Sleep(time.Second)
			runtime.Goexit()
			return record{}, nil
		}},
		{name: "rule panics", load: ok, rule: func(record) time.Duration {
			time.Sleep(time.Second)
			panic("cannot judge s3cr3t")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, err := cache.New(config(), test.load, cache.Rules[record]{Lifetime: test.rule})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						_, err := c.Lookup(t.Context(), "s3cr3t")
						if !errors.Is(err, cache.ErrPanic) || strings.Contains(fmt.Sprintf("%+v", err), "s3cr3t") {
							t.Errorf("Lookup = %v, want ErrPanic without the key", err)
						}
					})
				}
				wg.Wait()
				if got := c.Stats(); got.LoadPanics != 1 || got.Loads != 1 || got.LoadsInFlight != 0 {
					t.Errorf("LoadPanics = %d, Loads = %d, LoadsInFlight = %d; want 1, 1, 0", got.LoadPanics, got.Loads, got.LoadsInFlight)
				}
			})
		})
	}
}

// Beyond the limit of loads in flight, lookups fail at once.
func TestLookupsBeyondTheLoadsInFlightFailAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxLoads = 16
		s := newStore()
		c := open(t, cfg, s.load)
		var wg sync.WaitGroup
		for i := range 12 { // three quarters
			key := fmt.Sprint(i)
			s.set(key, answer{record: record{version: 1}, latency: time.Second})
			wg.Go(func() {
				if _, err := c.Lookup(t.Context(), key); err != nil {
					t.Errorf("Lookup(%q) = %v, want no error", key, err)
				}
			})
		}
		synctest.Wait()
		wantTook(t, 0, func() { wantError(t, c, "one more", cache.ErrBusy) })
		if got := c.Stats(); got.LoadsInFlight != 12 || got.Busy != 1 {
			t.Errorf("LoadsInFlight = %d, Busy = %d; want 12, 1", got.LoadsInFlight, got.Busy)
		}
		wg.Wait()
		wantError(t, c, "one more", errAbsent)
		if got := c.Stats().LoadsInFlight; got != 0 {
			t.Errorf("LoadsInFlight = %d when all have ended, want 0", got)
		}
	})
}

// Misses leave slots for keys that are held.
func TestFloodOfMissesLeavesSlotsForKeysThatAreHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxLoads, cfg.MaxStale, cfg.LoadTimeout = 4, 0, time.Hour
		s := newStore()
		for _, key := range []string{"alice", "bob"} {
			s.set(key, answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		wantVersion(t, c, "alice", 1)
		wantVersion(t, c, "bob", 1)
		time.Sleep(cfg.TTL)
		patient := func(key string) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := c.Lookup(ctx, key); !errors.Is(err, cache.ErrSlow) {
				t.Fatalf("Lookup(%q) = %v, want cache.ErrSlow", key, err)
			}
		}
		for _, key := range []string{"x", "y", "z", "alice"} {
			s.set(key, answer{latency: time.Hour})
		}
		for _, key := range []string{"x", "y", "z"} {
			patient(key)
		}
		wantError(t, c, "stranger", cache.ErrBusy)
		patient("alice")
		wantError(t, c, "bob", cache.ErrBusy)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.peak != cfg.MaxLoads {
			t.Errorf("%d loads ran at once, want MaxLoads, %d", s.peak, cfg.MaxLoads)
		}
	})
}

// Refreshes use at most half of the slots. A refresh without a slot is skipped.
func TestRefreshesLeaveSlotsForMisses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxLoads = 8
		s := newStore()
		c := open(t, cfg, s.load)
		const keys = 20
		for i := range keys {
			s.set(fmt.Sprint(i), answer{record: record{version: 1}})
			wantVersion(t, c, fmt.Sprint(i), 1)
			s.set(fmt.Sprint(i), answer{record: record{version: 2}, latency: time.Second})
		}
		time.Sleep(50 * time.Second)
		for i := range keys {
			wantVersion(t, c, fmt.Sprint(i), 1)
		}
		synctest.Wait()
		got := c.Stats()
		if got.LoadsInFlight != 4 || got.Refreshes != 4 || got.RefreshesSkipped != keys-4 || got.Busy != 0 {
			t.Errorf("LoadsInFlight = %d, Refreshes = %d, RefreshesSkipped = %d, Busy = %d; want 4, 4, %d, 0",
				got.LoadsInFlight, got.Refreshes, got.RefreshesSkipped, got.Busy, keys-4)
		}
		wantError(t, c, "stranger", errAbsent)
		time.Sleep(time.Second)
		synctest.Wait()            // the slots are free again
		wantVersion(t, c, "19", 1) // it was skipped, so it is tried again
		time.Sleep(time.Second)
		synctest.Wait()
		wantVersion(t, c, "19", 2)
	})
}

func TestRefusedSlotDoesNotUseUpTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxLoads, cfg.MissesPerSecond = 4, 2
		s := newStore()
		c := open(t, cfg, s.load)
		var wg sync.WaitGroup
		for i := range 3 {
			key := fmt.Sprint(i)
			s.set(key, answer{record: record{version: 1}, latency: time.Millisecond})
			wg.Go(func() { _, _ = c.Lookup(t.Context(), key) })
		}
		synctest.Wait()
		for range 10 {
			wantError(t, c, "refused", cache.ErrBusy)
		}
		wg.Wait()
		wantError(t, c, "the fourth", errAbsent)
		wantError(t, c, "the fifth", cache.ErrBusy)
	})
}

func TestCloseEndsLoadsAndWaitsForThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		s.set("slow", answer{record: record{version: 1}, latency: time.Second})
		c := open(t, config(), s.load)
		wantVersion(t, c, "alice", 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Lookup(t.Context(), "slow"); !errors.Is(err, cache.ErrClosed) {
				t.Errorf("a lookup that waits got %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		wantTook(t, 0, c.Close)
		wg.Wait()
		s.mu.Lock()
		if s.running != 0 {
			t.Errorf("%d loads run after Close, want 0", s.running)
		}
		s.mu.Unlock()
		wantVersion(t, c, "alice", 1)
		wantError(t, c, "slow", cache.ErrClosed)
		time.Sleep(50 * time.Second)
		wantVersion(t, c, "alice", 1) // would begin a refresh
		time.Sleep(time.Minute)
		wantError(t, c, "alice", cache.ErrClosed)
		wantLoads(t, s, "alice", 1)
		c.Close() // a second call has no effect
	})
}
