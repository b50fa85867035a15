package cache

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A verdict is the meaning of an outcome for the table.
type verdict uint8

const (
	// failed: nothing is known, so the entry is removed.
	failed verdict = iota
	found
	absent
	// unavailable: the entry stays.
	unavailable
)

// An outcome is the result of a load.
type outcome[V any] struct {
	verdict  verdict
	value    V
	err      error
	lifetime time.Duration
	// limited says that the store limits loads.
	limited bool
}

// begin starts a load of key, or returns an error that wraps [ErrBusy] or [ErrClosed]. The
// caller must hold the lock of the table.
func (c *Cache[V]) begin(caller context.Context, key string, why purpose, now moment) (*call[V], error) {
	t := c.table
	if t.closed {
		return nil, ErrClosed
	}
	ctx := c.rules.Inherit(c.ctx, caller) // before anything is taken: it may panic
	why, err := c.admit(key, why, now)
	if err != nil {
		if why != forRefresh && !errors.Is(err, errNotYet) {
			t.stats.Busy++
		}
		return nil, err
	}
	if why.canWait() {
		c.slowStart.began(now)
	}
	// The memory of the caller's key may be reused.
	f := &call[V]{key: strings.Clone(key), purpose: why, began: now, done: make(chan struct{})}
	t.calls[f.key] = f
	t.stats.Loads++
	if why == forRefresh {
		t.stats.Refreshes++
	}
	// Under the lock, so that it happens before the Wait in Close.
	c.loads.Go(func() { c.run(ctx, f) })
	return f, nil
}

// admit applies the limits and returns the purpose with which the load is admitted. A key that
// is refused counts as recently refused the next time.
func (c *Cache[V]) admit(key string, why purpose, now moment) (purpose, error) {
	switch {
	case why.canWait() && !c.slowStart.allows(now):
		return why, errNotYet
	case why.unheld() && now < c.missesFrom:
		return why, errLimited
	}
	err := c.enter(why, c.misses)
	if err == nil || why != forMiss {
		return why, err
	}
	if c.recentlyRefused.deserves(key) && c.enter(forRecentlyRefused, c.reserve) == nil {
		return forRecentlyRefused, nil
	}
	c.recentlyRefused.refused(key)
	return why, err
}

// enter takes a slot first and then a token of the rate, so that a lookup without a slot does
// not use up the rate.
func (c *Cache[V]) enter(why purpose, limit *rate.Limiter) error {
	if !c.admission.enter(why) {
		return errNoSlot
	}
	if why.unheld() && limit != nil && !limit.Allow() {
		c.admission.leave(why)
		return errNoRate
	}
	return nil
}

func (c *Cache[V]) run(ctx context.Context, f *call[V]) {
	// The outcome if the loader does not return, because it panics or ends its goroutine.
	o := outcome[V]{verdict: failed, err: ErrPanic}
	defer func() { c.settle(f, o) }()
	c.attempt(ctx, f.key, &o)
}

func (c *Cache[V]) attempt(ctx context.Context, key string, o *outcome[V]) {
	// The panic value may contain the key, so it is dropped.
	defer func() { _ = recover() }()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.LoadTimeout)
	defer cancel()
	value, err := c.load(ctx, key)
	*o = c.judge(ctx, value, err)
}

func (c *Cache[V]) judge(ctx context.Context, value V, err error) outcome[V] {
	switch {
	case err == nil:
		return outcome[V]{verdict: found, value: value, lifetime: c.lifetime(value)}
	case c.rules.Absent(err):
		return outcome[V]{verdict: absent, err: err}
	case c.rules.Unavailable(err), ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return outcome[V]{verdict: unavailable, err: err, limited: c.rules.Limited(err)}
	}
	return outcome[V]{verdict: failed, err: err}
}

// lifetime returns how long a value is fresh.
func (c *Cache[V]) lifetime(value V) time.Duration {
	life := c.rules.Lifetime(value)
	if life == 0 {
		life = c.cfg.TTL
	}
	return c.shorten(min(max(life, c.cfg.MinTTL), c.cfg.MaxTTL))
}

// shorten shortens a lifetime by a random part, up to Jitter.
func (c *Cache[V]) shorten(life time.Duration) time.Duration {
	var b [8]byte
	// crypto/rand.Read never fails. It is not needed for its strength, but it
	// has no state, and a load costs far more.
	_, _ = rand.Read(b[:])
	fraction := float64(binary.NativeEndian.Uint32(b[:])) / (1 << 32)
	return life - time.Duration(fraction*c.cfg.Jitter*float64(life))
}

// settle ends a load: in one step under the lock it returns the slot, stores the result and
// wakes the waiting callers.
func (c *Cache[V]) settle(f *call[V], o outcome[V]) {
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	c.admission.leave(f.purpose)
	if !f.purpose.unheld() {
		c.learn(f.key, &o, now)
	}
	if o.verdict == failed || o.verdict == unavailable {
		t.stats.LoadErrors++
	}
	if errors.Is(o.err, ErrPanic) {
		t.stats.LoadPanics++
	}
	if t.calls[f.key] != f {
		t.stats.VoidLoads++
		return
	}
	delete(t.calls, f.key)
	c.store(f, &o, now)
	f.unavailable = o.verdict == unavailable
	f.finish(o.value, o.err)
}

// learn updates the limits for other keys after a load for a key that is held. It ignores other
// loads: any client chooses their keys, and the store may fail for some of them.
func (c *Cache[V]) learn(key string, o *outcome[V], now moment) {
	c.slowStart.ended(key, o.verdict != unavailable, now)
	if o.limited {
		c.missesFrom = now + limitedPause
	}
}

// limitedPause is how long loads for keys that are not held pause when the store limits loads
// for keys that are held. It is long enough for these to be loaded again.
const limitedPause = 2 * time.Second

// store updates the table after an outcome.
func (c *Cache[V]) store(f *call[V], o *outcome[V], now moment) {
	t := c.table
	switch o.verdict {
	case found:
		// The key is not in the table of absent keys, because then no load would have begun.
		if t.entries.Add(f.key, c.newEntry(f, o, now)) {
			t.stats.Evictions++
		}
		c.recentlyRefused.forget(f.key)
	case unavailable:
		if e, held := t.entries.Peek(f.key); held {
			e.nextLoad = now + c.cfg.RetryInterval
			e.read, e.readAsUnheld, e.failing = now, f.purpose.unheld(), true
		}
	case absent:
		t.entries.Remove(f.key)
		c.recentlyRefused.absent(f.key)
		if c.cfg.AbsentTTL > 0 && t.absent.Add(f.key, absence{err: o.err, until: f.began + c.shorten(c.cfg.AbsentTTL)}) {
			t.stats.AbsentEvictions++
		}
	case failed:
		t.entries.Remove(f.key)
	}
}

// newEntry counts the lifetime from the beginning of the load, because the value may be that
// old.
func (c *Cache[V]) newEntry(f *call[V], o *outcome[V], now moment) *entry[V] {
	ahead := time.Duration(c.cfg.RefreshAhead * float64(o.lifetime))
	return &entry[V]{
		value:        o.value,
		freshUntil:   f.began + o.lifetime,
		nextLoad:     f.began + o.lifetime - ahead,
		read:         now,
		readAsUnheld: f.purpose.unheld(),
	}
}
