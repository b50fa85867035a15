package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxAttempts is how often one lookup begins anew because its key was
// invalidated while it waited.
const maxAttempts = 4

// Lookup returns the value of key: from memory, or by waiting for a load. Its
// error is the loader's as it is, an error of this package, or wraps that of
// ctx. When ctx is done it returns no value. key may point into memory that is
// reused after the call.
func (c *Cache[V]) Lookup(ctx context.Context, key string) (V, error) {
	var none V
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return none, fmt.Errorf("looking up: %w", err)
		}
		e, f, err := c.consult(key)
		switch {
		case err != nil:
			return none, err
		case f == nil:
			return e.value, nil
		}
		value, err := c.await(ctx, f, waiting{stale: e != nil})
		if !errors.Is(err, errVoid) {
			return value, err
		}
	}
	return none, ErrContended
}

// consult finds out what to do about key. It returns an entry to answer with, or
// a load to wait for, together with the stale entry, if any, that may stand in
// for its result; or an error to answer with.
func (c *Cache[V]) consult(key string) (*entry[V], *flight[V], error) {
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	e, held := t.entries.Get(key)
	if held {
		if e.fresh(now) {
			t.stats.Hits++
			c.refresh(e, key, now)
			return e, nil, nil
		}
		if !e.servable(now, c.cfg.MaxStale) {
			e = nil
		} else if e.storeDown(now, &c.cfg) {
			t.stats.StaleHits++
			c.refresh(e, key, now)
			return e, nil, nil
		}
	} else if a, ok := t.absent.Get(key); ok && a.err != nil {
		if now < a.until {
			t.stats.AbsentHits++
			return nil, nil, a.err
		}
		t.absent.Remove(key)
	}
	t.stats.Misses++
	if f := t.flights[key]; f != nil {
		t.stats.CoalescedWaits++
		return e, f, nil
	}
	why := forMiss
	if held {
		// Only a key that had a value counts as held, so a flood of made-up
		// keys cannot pass for it.
		why = forReload
		if e != nil {
			why = forStale
		}
	}
	f, err := c.begin(key, why, now)
	switch {
	case err == nil:
		return e, f, nil
	case e != nil:
		// What keeps us from asking the store is as good a reason to go by
		// the stale value as the store not answering.
		t.stats.StaleHits++
		return e, nil, nil
	}
	return nil, nil, err
}

// refresh begins a background load of an entry that has just been used, if it is
// time and there is a slot. The lock of the table is held.
func (c *Cache[V]) refresh(e *entry[V], key string, now moment) {
	if now < e.nextLoad || c.table.flights[key] != nil {
		return
	}
	if _, err := c.begin(key, forRefresh, now); errors.Is(err, ErrBusy) {
		c.table.stats.RefreshesSkipped++
	}
}

// waiting is how somebody waits for a load.
type waiting struct {
	// stale says that there is a stale entry to stand in for its result.
	stale bool
	// anew says that nothing else may stand in for it.
	anew bool
	// for how long there was something else to wait for before.
	already time.Duration
}

// await waits for a load, but no longer than StaleWait if there is a stale entry
// to stand in for it.
func (c *Cache[V]) await(ctx context.Context, f *flight[V], how waiting) (V, error) {
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
				return value, nil
			}
			return none, ErrSlow
		case <-patience:
			patience = nil
			if value, ok := c.serveStale(f.key, how); ok {
				return value, nil
			}
		case <-ctx.Done():
			return none, fmt.Errorf("waiting for a load: %w", ctx.Err())
		}
	}
}

// The time before its deadline that a caller is left with to say that there is
// no answer: a quarter of what it had, no less than minReserve, and no more
// than half.
const (
	reservePart = 4
	minReserve  = 20 * time.Millisecond
)

// Beyond so many waiting callers, further ones with a deadline wait no longer
// than manyWait. A gateway has a bound on calls in flight, 1024 in Envoy, and
// decides for itself about what goes beyond it: a store that hangs must not fill
// it up with waiting. A store that works has answered by then.
const (
	manyWaiting = 256
	manyWait    = 50 * time.Millisecond
)

// lastMoment fires when waiting longer would leave the caller no time to answer
// for itself. A gateway whose deadline passes makes its own decision, which may
// be to let the request through.
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

// arrive returns what became of a load that is done.
func (c *Cache[V]) arrive(ctx context.Context, f *flight[V], how waiting) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("waiting for a load: %w", err)
	}
	if f.unavailable {
		if value, ok := c.serveStale(f.key, how); ok {
			return value, nil
		}
	}
	return f.value, f.err
}

// serveStale returns the value held of key in place of a load that did not come to
// a result, if there still is one that may be used.
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
