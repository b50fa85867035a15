package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

func TestALookupSaysWhatTheCacheDidForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set("alice", answer{record: record{version: 1}, latency: 100 * time.Millisecond})
		cfg := config()
		cfg.RefreshAhead = 0
		c := open(t, cfg, s.load)
		want := func(key string, want cache.Result) {
			t.Helper()
			if _, got, err := c.LookupResult(t.Context(), key); got != want {
				t.Errorf("%s: got %s (%v), want %s", key, got, err, want)
			}
		}
		go func() {
			time.Sleep(10 * time.Millisecond)
			want("alice", cache.Coalesced)
		}()
		want("alice", cache.Miss)
		synctest.Wait()
		want("alice", cache.Hit)
		want("nobody", cache.Miss)
		want("nobody", cache.AbsentHit)
		s.set("alice", answer{err: errDown})
		time.Sleep(cfg.TTL)
		want("alice", cache.StaleHit) // after a load
		want("alice", cache.StaleHit) // without one
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, got, err := c.LookupResult(gone, "alice"); got != cache.Unanswered || err == nil {
			t.Errorf("without a caller: got %s, %v", got, err)
		}
		c.Close()
		want("bob", cache.Refused)
	})
}

// A trace goes with the context of the caller, and the load is a part of it.
func TestALoadInheritsFromTheCallerThatBeganItAndOutlivesIt(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, lookup := range map[string]func(context.Context, *cache.Cache[record]){
		"lookup":  func(ctx context.Context, c *cache.Cache[record]) { _, _ = c.Lookup(ctx, "alice") },
		"recheck": func(ctx context.Context, c *cache.Cache[record]) { _, _, _ = c.Recheck(ctx, "alice", time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var value any
				ended := make(chan struct{})
				c, err := cache.New(config(), func(ctx context.Context, _ string) (record, error) {
					defer close(ended)
					value = ctx.Value(key{})
					<-ctx.Done()
					return record{}, errDown
				}, cache.Rules[record]{Inherit: func(load, caller context.Context) context.Context {
					return context.WithValue(load, key{}, caller.Value(key{}))
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				caller, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"), 10*time.Millisecond)
				defer cancel()
				began := time.Now()
				lookup(caller, c)
				if <-ended; time.Since(began) != config().LoadTimeout {
					t.Errorf("the load ended after %s, want its own timeout", time.Since(began))
				}
				if value != "trace" {
					t.Errorf("got the value %v", value)
				}
			})
		})
	}
}
