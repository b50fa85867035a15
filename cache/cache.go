package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A Cache answers lookups from memory and fills itself through a Loader. Make
// one with [New] and end it with [Cache.Close]. It is safe for
// concurrent use.
type Cache[V any] struct {
	cfg   Config
	load  Loader[V]
	rules Rules[V]

	table     *table[V]
	admission *admission
	// misses is nil if loads of keys that are not held are not limited in
	// rate.
	misses *rate.Limiter
	// reserve is what keys that were refused lately have on top of it, nil like misses.
	reserve         *rate.Limiter
	recentlyRefused recentlyRefused
	// missesFrom is until when no such loads begin, because the store limits
	// those of keys that are held. The lock of the table guards it.
	missesFrom moment
	slowStart  slowStart
	// waiting is how many callers wait for a load.
	waiting atomic.Int64
	// epoch is where the cache's own clock begins.
	epoch time.Time

	// ctx is that of all loads. They belong to the cache, not to a caller.
	ctx   context.Context
	stop  context.CancelFunc
	loads sync.WaitGroup
}

const (
	// reserveShare is the part of MissesPerSecond that keys which were refused lately have on top.
	reserveShare = 4
	// burstTime is how long it takes to save up what may begin at once.
	burstTime = 2 * time.Second
)

func newLimiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burstTime.Seconds())))
}

// New returns an empty Cache. It starts nothing: loads run when lookups need
// them.
func New[V any](cfg Config, load Loader[V], rules Rules[V]) (*Cache[V], error) {
	if load == nil {
		return nil, errors.New("cache: a loader is needed")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c := &Cache[V]{
		cfg: cfg, load: load, rules: rules.withDefaults(),
		table: newTable[V](cfg.Capacity, cfg.AbsentCapacity), admission: newAdmission(cfg.MaxLoads), epoch: time.Now(),
	}
	if cfg.MissesPerSecond > 0 {
		c.misses = newLimiter(cfg.MissesPerSecond)
		c.reserve = newLimiter(cfg.MissesPerSecond / reserveShare)
	}
	c.ctx, c.stop = context.WithCancel(context.Background()) //nolint:forbidigo // loads outlive every caller; Close ends them
	return c, nil
}

func (c *Cache[V]) now() moment { return time.Since(c.epoch) }

// Invalidate forgets key, whether it has a value or is known to be absent. Once
// it has returned, no lookup that begins is answered with what was read before:
// neither from memory nor by a load that is under way.
func (c *Cache[V]) Invalidate(key string) {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries.Remove(key)
	t.absent.Remove(key)
	c.recentlyRefused.forget(key)
	t.void(key, errVoid)
}

// InvalidateAll is Invalidate for every key.
func (c *Cache[V]) InvalidateAll() {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty(c.cfg.Capacity, c.cfg.AbsentCapacity)
	for key := range t.flights {
		t.void(key, errVoid)
	}
}

// Keys returns the keys of the values held, at most Capacity of them, the least
// recently used first. Lookups wait while they are copied, which takes about 0.1 seconds
// for a million.
func (c *Cache[V]) Keys() []string {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries.Keys()
}

// Close ends all loads, waits until the loader has returned from them, and lets
// no new ones begin; who waits for one gets [ErrClosed]. Values that are held
// are answered on until they expire, so that lookups under way elsewhere can
// end well.
func (c *Cache[V]) Close() {
	t := c.table
	t.mu.Lock()
	t.closed = true
	for key := range t.flights {
		t.void(key, ErrClosed)
	}
	t.mu.Unlock()
	c.stop()
	c.loads.Wait()
}
