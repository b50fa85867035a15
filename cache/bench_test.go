package cache_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

// A credential has the size of what the cache is there for.
type credential struct {
	AccessToken       string
	Secret, Previous  [33]byte
	PreviousExpiresAt time.Time
	ConsumerID        string
	TTL               time.Duration
	NotBefore         time.Time
	ExpiresAt         time.Time
	Disabled          bool
}

func loadCredential(_ context.Context, key string) (credential, error) {
	return credential{AccessToken: key, ConsumerID: "00000000-0000-0000-0000-" + key[len(key)-12:]}, nil
}

func token(i int) string { return fmt.Sprintf("%032d", i) }

// filled returns a cache of n credentials, and their tokens in an order of no
// locality.
func filled(tb testing.TB, n int) (*cache.Cache[credential], []string) {
	tb.Helper()
	cfg := cache.DefaultConfig()
	cfg.Capacity, cfg.MissesPerSecond, cfg.TTL = n, 0, cfg.MaxTTL
	c, err := cache.New(cfg, loadCredential, cache.Rules[credential]{
		Deadline: func(c credential) time.Time { return c.ExpiresAt },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	tokens := make([]string, n)
	for i := range tokens {
		// A prime, so that each comes once and none next to the last.
		tokens[i] = token(i * 7_368_787 % n)
		if _, err := c.Lookup(tb.Context(), tokens[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return c, tokens
}

func TestFreshHitAllocatesNothing(t *testing.T) {
	c, tokens := filled(t, 100)
	ctx, i := t.Context(), 0
	got := testing.AllocsPerRun(1000, func() {
		if _, err := c.Lookup(ctx, tokens[i%len(tokens)]); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if got != 0 {
		t.Errorf("a fresh hit allocates %g times, want 0", got)
	}
}

func TestAbsentHitAllocatesNothing(t *testing.T) {
	c := open(t, config(), newStore().load)
	ctx := t.Context()
	wantError(t, c, "nobody", errAbsent)
	got := testing.AllocsPerRun(1000, func() {
		if _, err := c.Lookup(ctx, "nobody"); err == nil {
			t.Fatal("Lookup returned a value")
		}
	})
	if got != 0 {
		t.Errorf("a hit on an absent key allocates %g times, want 0", got)
	}
}

func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 1_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			c, tokens := filled(b, n)
			ctx, i := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Lookup(ctx, tokens[i]); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(tokens) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkParallelHit(b *testing.B) {
	c, tokens := filled(b, 1_000)
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := 0
		for pb.Next() {
			if _, err := c.Lookup(ctx, tokens[i]); err != nil {
				b.Error(err)
				return
			}
			if i++; i == len(tokens) {
				i = 0
			}
		}
	})
}

func BenchmarkAbsentHit(b *testing.B) {
	c := open(b, config(), newStore().load)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lookup(ctx, "nobody"); err == nil {
			b.Fatal("Lookup returned a value")
		}
	}
}

// BenchmarkMiss is what the cache adds to a load.
func BenchmarkMiss(b *testing.B) {
	c, _ := filled(b, 1)
	ctx, i := b.Context(), 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lookup(ctx, token(i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkMemory reports the bytes that a held credential takes, with its
// token and consumer id.
func BenchmarkMemory(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		before := heap()
		c, _ := filled(b, n)
		// Without the tokens of filled, which are not the cache's.
		b.ReportMetric(float64(heap()-before)/n, "B/entry")
		runtime.KeepAlive(c)
	}
}

// BenchmarkKeys is how long lookups wait for a snapshot of a million keys.
func BenchmarkKeys(b *testing.B) {
	const n = 1_000_000
	c, _ := filled(b, n)
	for b.Loop() {
		if got := len(c.Keys()); got != n {
			b.Fatalf("%d keys, want %d", got, n)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
