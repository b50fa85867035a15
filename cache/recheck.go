package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Recheck is called after a Lookup whose value did not help, for example if the secret of the
// credential differs from the one in the request. The caller then gets the same answer as for a
// key without a value, in every state of the cache and of the store, so that the answer does not
// reveal which keys exist.
//
// It behaves like a Lookup of a key that is not held: it loads the value within the limits for
// such keys, serves no stale value, and does not load the key again for AbsentTTL.
//
// since is the beginning of the caller's request: a value that was loaded after that is not
// loaded twice. news says that value was loaded for this call, or after since. Until AbsentTTL
// has passed, it is false. The errors are those of Lookup.
func (c *Cache[V]) Recheck(ctx context.Context, key string, since time.Time) (value V, news bool, err error) {
	var none V
	began := since.Sub(c.epoch)
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return none, false, fmt.Errorf("looking up: %w", err)
		}
		e, f, err := c.reconsider(ctx, key, began)
		switch {
		case err != nil:
			return none, false, err
		case e != nil:
			return e.value, true, nil
		case f == nil:
			return none, false, nil
		}
		value, _, err := c.await(ctx, f, waiting{anew: true, already: c.now() - began})
		switch {
		case err == nil:
			c.rechecked(key)
			return value, true, nil
		case !errors.Is(err, errVoid):
			return none, false, err
		}
	}
	return none, false, ErrContended
}

// reconsider decides how Recheck answers. It returns the entry that was loaded for this request,
// a load to wait for, or an error, or none of them if there is no news.
func (c *Cache[V]) reconsider(ctx context.Context, key string, since moment) (*entry[V], *call[V], error) {
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.absent.Get(key); ok && now < a.until {
		return nil, nil, a.err
	}
	e, held := t.entries.Peek(key)
	read, f := held && e.read > since, t.calls[key]
	if !read && f == nil {
		t.stats.Misses++
		f, err := c.begin(ctx, key, forMiss, now)
		return nil, f, err
	}
	if read && !e.readAsUnheld || !read && !f.purpose.unheld() {
		// That load was not subject to the limits for keys that are not held.
		why, err := c.admit(key, forMiss, now)
		if err != nil {
			t.stats.Busy++
			return nil, nil, err
		}
		c.admission.leave(why)
	}
	switch {
	case !read:
		return nil, f, nil
	case e.failing:
		return nil, nil, errNotYet
	}
	c.remember(key, now)
	return e, nil, nil
}

func (c *Cache[V]) rechecked(key string) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	c.remember(key, c.now())
}

// remember keeps a key from being loaded for each denied caller. The caller must hold the lock of
// the table.
func (c *Cache[V]) remember(key string, now moment) {
	c.recentlyRefused.absent(key)
	if c.cfg.AbsentTTL > 0 && c.table.absent.Add(strings.Clone(key), absence{until: now + c.shorten(c.cfg.AbsentTTL)}) {
		c.table.stats.AbsentEvictions++
	}
}
