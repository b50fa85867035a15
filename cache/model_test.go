package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vault-authz/vault-authz/cache"
)

// A step is an event of the store, the clock or the cache.
type step struct {
	kind    string
	key     string
	pause   time.Duration
	latency time.Duration
	ttl     time.Duration
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		millis := func(most int) *rapid.Generator[time.Duration] {
			return rapid.Map(rapid.IntRange(0, most), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
		}
		return step{
			kind: rapid.SampledFrom([]string{
				"lookup", "lookup", "lookup", "lookup", "impatient lookup", "recheck", "recheck", "pause", "pause", "long pause",
				"put", "put", "remove", "break", "down", "down", "up", "invalidate", "invalidate all",
			}).Draw(t, "kind"),
			key:     rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"),
			pause:   millis(2000).Draw(t, "pause"),
			latency: rapid.OneOf(rapid.Just(time.Duration(0)), millis(50), millis(3000)).Draw(t, "latency"),
			ttl:     rapid.OneOf(rapid.Just(time.Duration(0)), millis(20_000), rapid.Just(time.Duration(-1))).Draw(t, "ttl"),
		}
	}), 10, 120)
}

// An observation is a value of the model: the version of a key, and when it was read.
type observation struct {
	key  string
	read time.Time
	ttl  time.Duration
	// generation counts the invalidations of the key before it was read.
	generation int
}

// truth is the state of a key in the model.
type truth struct {
	answer     answer
	generation int
	// settled is when the last definite answer that counts was read.
	settled time.Time
	// absent is when the last definite "not found" was read.
	absent time.Time
	// trouble is when the store last failed or was slow.
	trouble time.Time
	// loading counts the running loads of this generation.
	loading int
}

// A model is a store that knows which answers of the cache are correct.
type model struct {
	cfg      cache.Config
	mu       sync.Mutex
	keys     map[string]*truth
	running  int
	mistakes []string
}

func newModel(cfg cache.Config) *model {
	m := &model{cfg: cfg, keys: map[string]*truth{}}
	for _, key := range []string{"a", "b", "c", "d"} {
		m.keys[key] = &truth{answer: answer{err: errAbsent}}
	}
	return m
}

func (m *model) rules() cache.Rules[observation] {
	return cache.Rules[observation]{
		Lifetime:    func(s observation) time.Duration { return s.ttl },
		Absent:      func(err error) bool { return errors.Is(err, errAbsent) },
		Unavailable: func(err error) bool { return errors.Is(err, errDown) },
	}
}

func (m *model) wrong(format string, args ...any) {
	m.mistakes = append(m.mistakes, fmt.Sprintf(format, args...))
}

// load returns the state at its beginning.
func (m *model) load(ctx context.Context, key string) (observation, error) {
	m.mu.Lock()
	k, read := m.keys[key], time.Now()
	a, generation := k.answer, k.generation
	k.loading++
	m.running++
	if k.loading > 1 {
		m.wrong("%d loads of %q at a time", k.loading, key)
	}
	if m.running > m.cfg.MaxLoads {
		m.wrong("%d loads at a time, more than %d", m.running, m.cfg.MaxLoads)
	}
	m.mu.Unlock()
	err := a.err
	if a.latency > 0 {
		select {
		case <-time.After(a.latency):
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", errDown, ctx.Err())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running--
	now := time.Now()
	if errors.Is(err, errDown) {
		k.trouble = now
	}
	if k.generation == generation {
		k.loading--
		if !errors.Is(err, errDown) {
			k.settled = read
		}
	}
	if errors.Is(err, errAbsent) {
		k.absent = read
	}
	if err != nil {
		return observation{}, err
	}
	return observation{key: key, read: read, ttl: a.record.ttl, generation: generation}, nil
}

// maxAttempts is the number of invalidations after which a lookup gives up.
const maxAttempts = 4

// generation counts the invalidations of a key.
func (m *model) generation(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[key].generation
}

// judge returns what is wrong with the result of a lookup that began in a generation of its
// key.
func (m *model) judge(key string, began int, s observation, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, now := m.keys[key], time.Now()
	if err != nil {
		switch {
		case s != (observation{}):
			m.wrong("lookup of %q: a value beside the error %v", key, err)
		case errors.Is(err, errAbsent) && now.Sub(k.absent) > m.cfg.AbsentTTL:
			m.wrong("lookup of %q: absent, but that was read %s ago", key, now.Sub(k.absent))
		case errors.Is(err, cache.ErrContended) && k.generation-began >= maxAttempts:
		case errors.Is(err, cache.ErrContended), errors.Is(err, cache.ErrClosed), errors.Is(err, cache.ErrPanic):
			m.wrong("lookup of %q: %v, for which there was no reason", key, err)
		}
		return
	}
	life := s.ttl
	if life == 0 {
		life = m.cfg.TTL
	}
	life = min(max(life, m.cfg.MinTTL), m.cfg.MaxTTL)
	age := now.Sub(s.read)
	switch {
	case s.key != key:
		m.wrong("lookup of %q: the value of %q", key, s.key)
	case s.generation != k.generation:
		m.wrong("lookup of %q: a value that was read before the invalidation", key)
	case s.read.Before(k.settled):
		m.wrong("lookup of %q: a value read %s before the last definite answer", key, k.settled.Sub(s.read))
	case age > life+m.cfg.MaxStale && age > m.cfg.LoadTimeout:
		m.wrong("lookup of %q: a value %s old, more than %s + %s", key, age, life, m.cfg.MaxStale)
	case age >= life && k.loading == 0 && age > m.cfg.LoadTimeout && now.Sub(k.trouble) > m.cfg.RetryInterval+m.cfg.LoadTimeout:
		m.wrong("lookup of %q: a stale value (%s old, life %s) though the store answers", key, age, life)
	}
}

// judgeNews returns what is wrong with the result of Recheck, in addition to judge: the value
// must not be older than the request.
func (m *model) judgeNews(key string, news bool, s observation, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !news && s != (observation{}):
		m.wrong("recheck of %q: a value that is no news", key)
	case news && began.Sub(s.read) > m.cfg.LoadTimeout:
		m.wrong("recheck of %q: a value that was read %s before", key, began.Sub(s.read))
	}
}

// invalidate makes the loads so far not count.
func (m *model) invalidate(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		k := m.keys[key]
		k.generation++
		k.loading = 0
		k.absent, k.settled = time.Time{}, time.Time{}
	}
}

func (m *model) set(key string, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[key].answer = a
}

// play runs the steps on a cache with the model as its store.
func (m *model) play(t *testing.T, steps []step) {
	t.Helper()
	c, err := cache.New(m.cfg, m.load, m.rules())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, s := range steps {
		switch s.kind {
		case "lookup", "impatient lookup":
			ctx, cancel := t.Context(), func() {}
			if s.kind == "impatient lookup" {
				ctx, cancel = context.WithTimeout(ctx, s.pause)
			}
			began := m.generation(s.key)
			wg.Go(func() {
				defer cancel()
				value, err := c.Lookup(ctx, s.key)
				m.judge(s.key, began, value, err)
			})
		case "recheck":
			began, generation := time.Now(), m.generation(s.key)
			wg.Go(func() {
				value, news, err := c.Recheck(t.Context(), s.key, began)
				if news || err != nil {
					m.judge(s.key, generation, value, err)
				}
				m.judgeNews(s.key, news, value, began)
			})
		case "pause":
			time.Sleep(s.pause)
		case "long pause":
			time.Sleep(10 * s.pause)
		case "put", "up":
			m.set(s.key, answer{record: record{ttl: s.ttl}, latency: s.latency})
		case "remove":
			m.set(s.key, answer{err: errAbsent, latency: s.latency})
		case "break":
			m.set(s.key, answer{err: errBroken, latency: s.latency})
		case "down":
			m.set(s.key, answer{err: errDown, latency: s.latency})
		case "invalidate":
			m.invalidate(s.key)
			c.Invalidate(s.key)
		case "invalidate all":
			m.invalidate("a", "b", "c", "d")
			c.InvalidateAll()
		}
		synctest.Wait()
		if n := c.Stats().Entries; n > m.cfg.Capacity {
			m.mu.Lock()
			m.wrong("%d values held, more than %d", n, m.cfg.Capacity)
			m.mu.Unlock()
		}
	}
}

// In every order of events a value is never from before an invalidation, never older than its
// lifetime plus MaxStale or than the last definite answer, and never stale while the store
// answers. A key never has two loads at a time.
func TestNoOrderOfEventsLeadsToAWrongAnswer(t *testing.T) {
	t.Parallel()
	cfg := cache.Config{
		Capacity: 3, AbsentCapacity: 2,
		TTL: 10 * time.Second, MinTTL: time.Second, MaxTTL: 15 * time.Second,
		Jitter: 0.1, RefreshAhead: 0.2,
		MaxStale: 5 * time.Second, StaleWait: 100 * time.Millisecond, RetryInterval: time.Second,
		AbsentTTL:   5 * time.Second,
		LoadTimeout: 2 * time.Second, MaxLoads: 4, MissesPerSecond: 25,
	}
	rapid.Check(t, func(rt *rapid.T) {
		script := steps().Draw(rt, "steps")
		m := newModel(cfg)
		synctest.Test(t, func(t *testing.T) { m.play(t, script) })
		for _, mistake := range m.mistakes {
			rt.Error(mistake)
		}
	})
}
