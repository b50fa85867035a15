package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// deny looks up and rechecks a key like a client with a wrong secret. It returns what the client
// can observe, with the time.
func deny(t *testing.T, c *cache.Cache[record], key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	_, err := c.Lookup(ctx, key)
	if err == nil {
		_, _, err = c.Recheck(ctx, key, began)
	}
	outcome := "denied"
	if err != nil && !errors.Is(err, errAbsent) {
		outcome = "unavailable"
	}
	return fmt.Sprintf("%s after %s", outcome, time.Since(began))
}

// TestDeniedClientCannotTellWhichKeysAreHeld compares a key with a value and a key without one:
// the answers and their times must be equal.
func TestDeniedClientCannotTellWhichKeysAreHeld(t *testing.T) {
	t.Parallel()
	const latency = 10 * time.Millisecond
	drain := func(t *testing.T, c *cache.Cache[record], _ *store) {
		t.Helper()
		for i := range 100 {
			_, _ = c.Lookup(t.Context(), fmt.Sprint("made up ", i/2))
		}
	}
	all := func(s *store, a answer) {
		s.set("held", a)
		s.set("unknown", a)
	}
	for _, state := range []struct {
		name string
		cfg  func(*cache.Config)
		to   func(*testing.T, *cache.Cache[record], *store)
		// want are the answers to three requests, a second apart.
		want []string
	}{
		{
			"all is well", nil, func(*testing.T, *cache.Cache[record], *store) {},
			[]string{"denied after 10ms", "denied after 0s", "denied after 0s"},
		},
		{
			"nothing is remembered", func(c *cache.Config) { c.AbsentTTL = 0 },
			func(*testing.T, *cache.Cache[record], *store) {},
			[]string{"denied after 10ms", "denied after 10ms", "denied after 10ms"},
		},
		{"the limit is used up", func(c *cache.Config) { c.MissesPerSecond = 0.01 }, drain, []string{"unavailable after 0s", "unavailable after 0s", "unavailable after 0s"}},
		{
			"the limit is used up for a moment", func(c *cache.Config) { c.MissesPerSecond = 1 }, drain,
			[]string{"unavailable after 0s", "denied after 10ms", "denied after 0s"},
		},
		{"there is no slot", func(c *cache.Config) { c.MaxLoads, c.LoadTimeout = 4, 1500*time.Millisecond }, func(t *testing.T, c *cache.Cache[record], s *store) {
			t.Helper()
			for i := range 4 {
				s.set(fmt.Sprint("slow", i), answer{latency: time.Hour})
				go func() { _, _ = c.Lookup(t.Context(), fmt.Sprint("slow", i)) }()
			}
			synctest.Wait()
		}, []string{"unavailable after 0s", "unavailable after 0s", "denied after 10ms"}},
		{"the store is down", nil, func(_ *testing.T, _ *cache.Cache[record], s *store) {
			all(s, answer{err: errDown})
		}, []string{"unavailable after 0s", "unavailable after 0s", "unavailable after 0s"}},
		{"the store hangs", nil, func(_ *testing.T, _ *cache.Cache[record], s *store) {
			all(s, answer{latency: time.Hour})
		}, []string{"unavailable after 750ms", "unavailable after 250ms", "unavailable after 750ms"}},
		{"the store hangs, and what is held is stale", nil, func(_ *testing.T, _ *cache.Cache[record], s *store) {
			all(s, answer{latency: time.Hour})
			time.Sleep(70 * time.Second)
		}, []string{"unavailable after 750ms", "unavailable after 250ms", "unavailable after 750ms"}},
		{"the store comes back", nil, func(t *testing.T, c *cache.Cache[record], s *store) {
			t.Helper()
			all(s, answer{err: errDown})
			for _, key := range []string{"held", "unknown"} {
				deny(t, c, key)
			}
			s.set("held", answer{record: record{version: 1}, latency: latency})
			s.set("unknown", answer{err: errAbsent, latency: latency})
		}, []string{"denied after 10ms", "denied after 0s", "denied after 0s"}},
		{"the cache is closed", nil, func(_ *testing.T, c *cache.Cache[record], _ *store) { c.Close() }, []string{"unavailable after 0s", "unavailable after 0s", "unavailable after 0s"}},
	} {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transcript := func(key string) (got []string) {
					cfg := config()
					cfg.LoadTimeout = 2 * time.Second
					if state.cfg != nil {
						state.cfg(&cfg)
					}
					s := newStore()
					s.set("held", answer{record: record{version: 1}, latency: latency})
					s.set("unknown", answer{err: errAbsent, latency: latency})
					c := open(t, cfg, s.load)
					defer c.Close()
					wantVersion(t, c, "held", 1)
					state.to(t, c, s)
					for range 3 {
						got = append(got, deny(t, c, key))
						time.Sleep(time.Second)
					}
					return got
				}
				held, unknown := transcript("held"), transcript("unknown")
				if !slices.Equal(held, unknown) || !slices.Equal(unknown, state.want) {
					t.Errorf("held:    %q\nunknown: %q\nwant     %q for both", held, unknown, state.want)
				}
			})
		})
	}
}

// TestRecheckObeysTheLimitsDuringALoad: a load for good clients, which is not subject to these
// limits, must not help a denied one.
func TestRecheckObeysTheLimitsDuringALoad(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{
		"refreshed": 50 * time.Second, "stale": 70 * time.Second, "expired": 100 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.MissesPerSecond = 0.001
				s := newStore()
				s.set("alice", answer{record: record{version: 1}})
				c := open(t, cfg, s.load)
				wantVersion(t, c, "alice", 1)
				time.Sleep(age)
				s.set("alice", answer{record: record{version: 1}, latency: 10 * time.Millisecond})
				began := time.Now()
				wantVersion(t, c, "alice", 1)
				if _, news, err := c.Recheck(t.Context(), "alice", began); news || !errors.Is(err, cache.ErrBusy) {
					t.Errorf("Recheck = news %t, %v, want %v", news, err, cache.ErrBusy)
				}
				if got := c.Stats().Busy; got != 1 {
					t.Errorf("Busy = %d, want 1", got)
				}
				wantVersion(t, c, "alice", 1)
			})
		})
	}
}

// TestValueThatWasLoadedForARequestIsNotLoadedTwice, whether no value was held or an expired one.
func TestValueThatWasLoadedForARequestIsNotLoadedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: 10 * time.Millisecond})
		c := open(t, config(), s.load)
		for loads := range 3 {
			began := time.Now()
			wantVersion(t, c, "alice", 1)
			value, news, err := c.Recheck(t.Context(), "alice", began)
			if err != nil || !news || value.version != 1 || time.Since(began) != 10*time.Millisecond {
				t.Errorf("Recheck = version %d, news %t, %v after %s", value.version, news, err, time.Since(began))
			}
			if _, news, err := c.Recheck(t.Context(), "alice", time.Now()); news || err != nil {
				t.Errorf("Recheck a moment later = news %t, %v, want neither", news, err)
			}
			wantLoads(t, s, "alice", loads+1)
			time.Sleep(2 * time.Minute)
		}
	})
}

func TestRecheckReturnsAChangedValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		then answer
		want error
	}{
		{"another value", answer{record: record{version: 2}}, nil},
		{"none", answer{err: errAbsent}, errAbsent},
		{"one that cannot be used", answer{err: errBroken}, errBroken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.set("alice", answer{record: record{version: 1}})
				c := open(t, config(), s.load)
				wantVersion(t, c, "alice", 1)
				s.set("alice", test.then)
				value, news, err := c.Recheck(t.Context(), "alice", time.Now())
				if !errors.Is(err, test.want) || news != (err == nil) || value != test.then.record {
					t.Errorf("Recheck = %+v, news %t, %v, want %+v, %v", value, news, err, test.then.record, test.want)
				}
				// Other lookups get the same.
				if test.want == nil {
					wantVersion(t, c, "alice", 2)
				} else {
					wantError(t, c, "alice", test.want)
				}
			})
		})
	}
}

func TestRecheckCountsAsALookupOfAKeyThatIsNotHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.AbsentCapacity = 1
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		wantError(t, c, "nobody", errAbsent)
		wantVersion(t, c, "alice", 1)
		deny(t, c, "alice")
		if got := c.Stats(); got.Hits != 1 || got.Misses != 3 || got.Loads != 3 || got.AbsentEvictions != 1 {
			t.Errorf("Hits = %d, Misses = %d, Loads = %d, AbsentEvictions = %d, want 1, 3, 3, 1", got.Hits, got.Misses, got.Loads, got.AbsentEvictions)
		}
	})
}

func TestRecheckReadsAgainOnceTheDenialIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		wantVersion(t, c, "alice", 1)
		deny(t, c, "alice")
		time.Sleep(cfg.AbsentTTL - 1)
		deny(t, c, "alice")
		wantLoads(t, s, "alice", 2)
		time.Sleep(time.Nanosecond)
		deny(t, c, "alice")
		wantLoads(t, s, "alice", 3)
	})
}

func TestRecheckThatFailsReturnsNoNews(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		load func(c *cache.Cache[record], leave func(), key string)
		want error
	}{
		{"the caller has left", func(_ *cache.Cache[record], leave func(), _ string) { leave() }, context.Canceled},
		{
			"the caller has left, and the key was invalidated",
			func(c *cache.Cache[record], leave func(), key string) {
				leave()
				c.Invalidate(key)
			}, context.Canceled,
		},
		{
			"the key is invalidated again and again",
			func(c *cache.Cache[record], _ func(), key string) { c.Invalidate(key) }, cache.ErrContended,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var c *cache.Cache[record]
				c = open(t, config(), func(_ context.Context, key string) (record, error) {
					test.load(c, leave, key)
					return record{version: 1}, nil
				})
				value, news, err := c.Recheck(ctx, "alice", time.Now())
				if news || value != (record{}) || !errors.Is(err, test.want) {
					t.Errorf("Recheck = %+v, news %t, %v, want only %v", value, news, err, test.want)
				}
			})
		})
	}
}

// TestDeniedRequestsDoNotHarmTheValue repeats denied requests while the store answers and while
// it does not.
func TestDeniedRequestsDoNotHarmTheValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := cache.DefaultConfig()
		cfg.TTL, cfg.AbsentTTL = 10*time.Second, 0
		s := newStore()
		s.set("alice", answer{record: record{version: 1}})
		c := open(t, cfg, s.load)
		for tick := range 600 {
			switch tick {
			case 200:
				s.set("alice", answer{err: errDown})
			case 400: // 20 s later
				s.set("alice", answer{record: record{version: 1}})
			}
			for range 20 {
				deny(t, c, "alice")
			}
			wantVersion(t, c, "alice", 1)
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// TestRememberedDenialIsNotAValue shows that it is not served after its value was evicted.
func TestRememberedDenialIsNotAValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Capacity = 1
		s := newStore()
		for _, key := range []string{"alice", "bob"} {
			s.set(key, answer{record: record{version: 1}})
		}
		c := open(t, cfg, s.load)
		wantVersion(t, c, "alice", 1)
		deny(t, c, "alice")
		wantVersion(t, c, "bob", 1) // evicts alice
		wantVersion(t, c, "alice", 1)
		deny(t, c, "alice")
		c.Invalidate("alice")
		wantVersion(t, c, "alice", 1)
		wantLoads(t, s, "alice", 4)
	})
}
