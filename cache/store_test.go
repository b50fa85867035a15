package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

var (
	errAbsent = errors.New("no such record")
	errDown   = errors.New("store is down")
	errBroken = errors.New("record is broken")
	errQuota  = fmt.Errorf("%w: too many requests", errDown)
)

// A record is the value in these tests.
type record struct {
	version int
	ttl     time.Duration
}

func rules() cache.Rules[record] {
	return cache.Rules[record]{
		Lifetime:    func(r record) time.Duration { return r.ttl },
		Absent:      func(err error) bool { return errors.Is(err, errAbsent) },
		Unavailable: func(err error) bool { return errors.Is(err, errDown) },
		Limited:     func(err error) bool { return errors.Is(err, errQuota) },
	}
}

// An answer is the answer of the store for a key.
type answer struct {
	record record
	err    error
	// latency is the time of the answer.
	latency time.Duration
}

// A store is a fake with configured answers. Keys without an answer are absent.
type store struct {
	mu      sync.Mutex
	answers map[string]answer
	loads   map[string]int
	running int
	peak    int
}

func newStore() *store {
	return &store{answers: map[string]answer{}, loads: map[string]int{}}
}

func (s *store) set(key string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = a
}

// loaded returns the number of loads of key.
func (s *store) loaded(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[key]
}

func (s *store) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, loads := range s.loads {
		n += loads
	}
	return n
}

// load returns the answer at its beginning, like a slow store.
func (s *store) load(ctx context.Context, key string) (record, error) {
	s.mu.Lock()
	a, known := s.answers[key]
	s.loads[key]++
	s.running++
	s.peak = max(s.peak, s.running)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	if a.latency > 0 {
		select {
		case <-time.After(a.latency):
		case <-ctx.Done():
			return record{}, ctx.Err()
		}
	}
	if !known {
		return record{}, fmt.Errorf("reading: %w", errAbsent)
	}
	return a.record, a.err
}

// config returns the default without jitter and rate limit.
func config() cache.Config {
	cfg := cache.DefaultConfig()
	cfg.Jitter = 0
	cfg.TTL = time.Minute
	cfg.MissesPerSecond = 0
	return cfg
}

func open(tb testing.TB, cfg cache.Config, load cache.Loader[record]) *cache.Cache[record] {
	tb.Helper()
	c, err := cache.New(cfg, load, rules())
	if err != nil {
		tb.Fatalf("New(%+v) = %v", cfg, err)
	}
	tb.Cleanup(c.Close)
	return c
}

// wantVersion looks up key and expects a version. Like wantError it may be used in any
// goroutine.
func wantVersion(t *testing.T, c *cache.Cache[record], key string, version int) {
	t.Helper()
	got, err := c.Lookup(t.Context(), key)
	if err != nil || got.version != version {
		t.Errorf("Lookup(%q) = version %d, %v; want version %d", key, got.version, err, version)
	}
}

// wantError looks up key and expects an error without a value.
func wantError(t *testing.T, c *cache.Cache[record], key string, want error) {
	t.Helper()
	got, err := c.Lookup(t.Context(), key)
	if !errors.Is(err, want) || got != (record{}) {
		t.Errorf("Lookup(%q) = %+v, %v; want error %v", key, got, err, want)
	}
}

func wantLoads(t *testing.T, s *store, key string, want int) {
	t.Helper()
	if got := s.loaded(key); got != want {
		t.Fatalf("loads of %q = %d, want %d", key, got, want)
	}
}

// wantTook expects that do takes the given time on the fake clock.
func wantTook(t *testing.T, want time.Duration, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	if got := time.Since(begin); got != want {
		t.Fatalf("took %s, want %s", got, want)
	}
}
