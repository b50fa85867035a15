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

// A Cache answers lookups from memory and loads missing values with a Loader. Create it with
// [New] and end it with [Cache.Close]. It is safe for concurrent use.
type Cache[V any] struct {
	cfg   Config
	load  Loader[V]
	rules Rules[V]

	table     *table[V]
	admission *admission
	// misses limits the rate of loads for keys that are not held, nil for no limit.
	misses *rate.Limiter
	// reserve is the additional rate for keys that were refused recently, nil like misses.
	reserve         *rate.Limiter
	recentlyRefused recentlyRefused
	// missesFrom is when such loads may begin again after the store limited loads for keys
	// that are held. The lock of the table guards it.
	missesFrom moment
	slowStart  slowStart
	// waiting is the number of callers that wait for a load.
	waiting atomic.Int64
	// epoch is the zero of the cache's clock.
	epoch time.Time

	// ctx is the context of all loads, which belong to the cache and not to a caller.
	ctx   context.Context
	stop  context.CancelFunc
	loads sync.WaitGroup
}

const (
	// reserveShare is the additional part of MissesPerSecond for keys that were refused
	// recently.
	reserveShare = 4
	// burstTime is the time for which unused rate is saved.
	burstTime = 2 * time.Second
)

func newLimiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burstTime.Seconds())))
}

// New returns an empty Cache. It starts no goroutine: loads run when lookups need them.
func New[V any](cfg Config, load Loader[V], rules Rules[V]) (*Cache[V], error) {
	if load == nil {
		return nil, errors.New("cache: a loader is required")
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

// Invalidate removes key, whether it has a value or is known to be absent. A lookup that
// begins after Invalidate has returned is never answered with what was read before, neither
// from memory nor by a load in flight.
func (c *Cache[V]) Invalidate(key string) {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries.Remove(key)
	t.absent.Remove(key)
	c.recentlyRefused.forget(key)
	t.void(key, errVoid)
}

// InvalidateAll invalidates every key.
func (c *Cache[V]) InvalidateAll() {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty(c.cfg.Capacity, c.cfg.AbsentCapacity)
	for key := range t.calls {
		t.void(key, errVoid)
	}
}

// Keys returns the keys of all values, at most Capacity, the least recently used first.
// Lookups wait while it copies them, about 0.1 seconds for a million.
func (c *Cache[V]) Keys() []string {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries.Keys()
}

// Close cancels all loads, waits until the loader has returned, and starts no new ones.
// Callers that wait for a load get [ErrClosed]. Values in the cache are still served until
// they expire, so that lookups in flight can succeed.
func (c *Cache[V]) Close() {
	t := c.table
	t.mu.Lock()
	t.closed = true
	for key := range t.calls {
		t.void(key, ErrClosed)
	}
	t.mu.Unlock()
	c.stop()
	c.loads.Wait()
}
