package cache_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/vault-authz/vault-authz/cache"
)

// A credential has the size of the values of vault-authz.
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

// A caller asks for tokens in an order without locality. As with a request that was just read,
// the token is in a buffer in the CPU's caches, and not beside the cache's copy.
type caller struct {
	buffer []byte
	n, at  int
}

func newCaller(n int) *caller { return &caller{buffer: []byte(token(0)), n: n} }

// next returns a token, which is valid until the next call.
func (c *caller) next() string {
	// A prime, so that each token comes once in n, and never next to the previous one.
	c.at = (c.at + 7_368_787) % c.n
	for i, rest := len(c.buffer)-1, c.at; i >= len(c.buffer)-7; i-- {
		c.buffer[i], rest = byte('0'+rest%10), rest/10
	}
	return unsafe.String(&c.buffer[0], len(c.buffer))
}

// filled returns a cache with the credentials token(0) to token(n-1).
func filled(tb testing.TB, n int) *cache.Cache[credential] {
	tb.Helper()
	cfg := cache.DefaultConfig()
	cfg.Capacity, cfg.MissesPerSecond, cfg.TTL = n, 0, cfg.MaxTTL
	c, err := cache.New(cfg, loadCredential, cache.Rules[credential]{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	for i := range n {
		if _, err := c.Lookup(tb.Context(), token(i*7_368_787%n)); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

func TestFreshHitAllocatesNothing(t *testing.T) {
	c, caller := filled(t, 100), newCaller(100)
	ctx := t.Context()
	got := testing.AllocsPerRun(1000, func() {
		if _, err := c.Lookup(ctx, caller.next()); err != nil {
			t.Fatal(err)
		}
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
	for _, n := range []int{1, 1_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) { hits(b, filled(b, n), n) })
	}
}

// BenchmarkScale measures a hit in caches of different sizes. "all" asks for all entries in
// turn, which is the worst case with a million, because no entry is in the CPU's caches. "few"
// asks for the same thousand entries, like a small number of clients. It is slow, because it
// fills caches of a million.
func BenchmarkScale(b *testing.B) {
	const few = 1_000
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		c := filled(b, n)
		b.Run(fmt.Sprintf("all/entries=%d", n), func(b *testing.B) { hits(b, c, n) })
		b.Run(fmt.Sprintf("few/entries=%d", n), func(b *testing.B) { hits(b, c, few) })
	}
}

func hits(b *testing.B, c *cache.Cache[credential], n int) {
	b.Helper()
	ctx, caller := b.Context(), newCaller(n)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lookup(ctx, caller.next()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParallelHit(b *testing.B) {
	const n = 1_000
	c, ctx := filled(b, n), b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		caller := newCaller(n)
		for pb.Next() {
			if _, err := c.Lookup(ctx, caller.next()); err != nil {
				b.Error(err)
				return
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

// BenchmarkMiss measures the cost of the cache in a load.
func BenchmarkMiss(b *testing.B) {
	c := filled(b, 1)
	ctx, i := b.Context(), 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lookup(ctx, token(i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkMemory reports the bytes per credential, with its token and consumer id. It fills
// the cache once, whatever b.N is.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			before := heap()
			c := filled(b, n)
			perEntry := float64(heap()-before) / float64(n)
			for b.Loop() {
			}
			b.ReportMetric(perEntry, "B/entry")
			b.ReportMetric(0, "ns/op")
			runtime.KeepAlive(c)
		})
	}
}

// BenchmarkKeys measures how long lookups wait while Keys copies a million keys.
func BenchmarkKeys(b *testing.B) {
	const n = 1_000_000
	c := filled(b, n)
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
