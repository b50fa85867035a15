package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxAttempts is how often a lookup starts again because its key was invalidated while it
// waited.
const maxAttempts = 4

// Lookup returns the value of key from memory, or waits for a load. Its error is the error of
// the loader, an error of this package, or wraps the error of ctx. When ctx is done it returns
// no value. The memory of key may be reused after the call.
func (c *Cache[V]) Lookup(ctx context.Context, key string) (V, error) {
	value, _, err := c.LookupResult(ctx, key)
	return value, err
}

// LookupResult is Lookup. It also returns what the cache did for it.
func (c *Cache[V]) LookupResult(ctx context.Context, key string) (V, Result, error) {
	var none V
	result := Unanswered
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return none, result, fmt.Errorf("looking up: %w", err)
		}
		e, f, consulted, err := c.consult(ctx, key)
		result = consulted
		switch {
		case err != nil:
			return none, result, err
		case f == nil:
			return e.value, result, nil
		}
		value, stale, err := c.await(ctx, f, waiting{stale: e != nil})
		if stale {
			result = StaleHit
		}
		if !errors.Is(err, errVoid) {
			return value, result, err
		}
	}
	return none, result, ErrContended
}

// consult decides how to answer a lookup. It returns an entry to answer with, a load to wait
// for, or an error. With a load it may also return a stale entry that can be served instead.
func (c *Cache[V]) consult(ctx context.Context, key string) (*entry[V], *call[V], Result, error) {
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	e, held := t.entries.Get(key)
	if held {
		if e.fresh(now) {
			t.stats.Hits++
			c.refresh(ctx, e, key, now)
			return e, nil, Hit, nil
		}
		if !e.servable(now, c.cfg.MaxStale) {
			e = nil
		} else if e.storeDown(now, &c.cfg) {
			t.stats.StaleHits++
			c.refresh(ctx, e, key, now)
			return e, nil, StaleHit, nil
		}
	} else if a, ok := t.absent.Get(key); ok && a.err != nil {
		if now < a.until {
			t.stats.AbsentHits++
			return nil, nil, AbsentHit, a.err
		}
		t.absent.Remove(key)
	}
	t.stats.Misses++
	if f := t.calls[key]; f != nil {
		t.stats.CoalescedWaits++
		return e, f, Coalesced, nil
	}
	why := forMiss
	if held {
		// Only a key with a value counts as held, so random keys do not.
		why = forReload
		if e != nil {
			why = forStale
		}
	}
	f, err := c.begin(ctx, key, why, now)
	switch {
	case err == nil:
		return e, f, Miss, nil
	case e != nil:
		// A refused load is a reason to serve a stale value, like an unavailable store.
		t.stats.StaleHits++
		return e, nil, StaleHit, nil
	}
	return nil, nil, Refused, err
}

// refresh begins a background load of an entry in use, if it is due and a slot is free. The
// caller must hold the lock of the table.
func (c *Cache[V]) refresh(ctx context.Context, e *entry[V], key string, now moment) {
	if now < e.nextLoad || c.table.calls[key] != nil {
		return
	}
	if _, err := c.begin(ctx, key, forRefresh, now); errors.Is(err, ErrBusy) {
		c.table.stats.RefreshesSkipped++
	}
}

// waiting configures the wait for a load.
type waiting struct {
	// stale says that a stale entry can be served instead of the result.
	stale bool
	// anew says that only the result of the load may be returned.
	anew bool
	// already is how long the lookup has waited for an earlier load.
	already time.Duration
}

// await waits for a load, at most StaleWait if a stale entry can be served instead. stale says
// that it was.
func (c *Cache[V]) await(ctx context.Context, f *call[V], how waiting) (value V, stale bool, err error) {
	var none V
	tooManyWaiting := c.waiting.Add(1) > manyWaiting
	defer c.waiting.Add(-1)
	var patience <-chan time.Time
	if how.stale {
		timer := time.NewTimer(c.cfg.StaleWait - (c.now() - f.began))
		defer timer.Stop()
		patience = timer.C
	}
	enough, stop := lastMoment(ctx, tooManyWaiting, how.already)
	defer stop()
	for {
		select {
		case <-f.done:
			return c.arrive(ctx, f, how)
		case <-enough:
			if value, ok := c.serveStale(f.key, how); ok {
				return value, true, nil
			}
			return none, false, ErrSlow
		case <-patience:
			patience = nil
			if value, ok := c.serveStale(f.key, how); ok {
				return value, true, nil
			}
		case <-ctx.Done():
			return none, false, fmt.Errorf("waiting for a load: %w", ctx.Err())
		}
	}
}

// A lookup gives up before the deadline of its caller, so that the caller can still answer. The
// reserve is a quarter of the remaining time, but at least minReserve and at most half of it.
const (
	reservePart = 4
	minReserve  = 20 * time.Millisecond
)

// If more callers than this wait, further ones with a deadline wait at most manyWait. A gateway
// has a limit of calls in flight, 1024 in Envoy, and decides itself about calls beyond it: a
// store that hangs must not fill this limit with waiting calls. A healthy store answers within
// manyWait.
const (
	manyWaiting = 256
	manyWait    = 50 * time.Millisecond
)

// lastMoment fires when the caller must stop waiting to be able to answer. A gateway whose
// deadline passes decides itself, and may allow the request.
func lastMoment(ctx context.Context, tooManyWaiting bool, already time.Duration) (<-chan time.Time, func()) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return nil, func() {}
	}
	left := time.Until(deadline) + already
	left -= min(max(left/reservePart, minReserve), left/2)
	if tooManyWaiting {
		left = min(left, manyWait)
	}
	timer := time.NewTimer(left - already)
	return timer.C, func() { timer.Stop() }
}

// arrive returns the result of a load that is done.
func (c *Cache[V]) arrive(ctx context.Context, f *call[V], how waiting) (value V, stale bool, err error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, false, fmt.Errorf("waiting for a load: %w", err)
	}
	if f.unavailable {
		if value, ok := c.serveStale(f.key, how); ok {
			return value, true, nil
		}
	}
	return f.value, false, f.err
}

// serveStale returns the stale value of key, if it may still be served, after a load without a
// result.
func (c *Cache[V]) serveStale(key string, how waiting) (V, bool) {
	var none V
	if how.anew {
		return none, false
	}
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	e, held := t.entries.Peek(key)
	if !held || !e.servable(now, c.cfg.MaxStale) {
		return none, false
	}
	t.stats.StaleHits++
	return e.value, true
}
