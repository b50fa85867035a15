package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Recheck is called after a Lookup whose value came to nothing, as with a credential
// whose secret is not the one that was given. The caller is then told just what it
// would be told of a key that there is no value of, in every state of the cache and of
// the store, so that the answer does not tell which keys there are.
//
// It does what a Lookup of a key does that is not held: the value is read within the
// limits for such keys, nothing stale stands in for it, and after that it is not read
// again for AbsentTTL; until then Recheck has no news. since is when the caller's
// request began: what was read for it after that is not read twice. The errors are
// those of Lookup.
func (c *Cache[V]) Recheck(ctx context.Context, key string, since time.Time) (value V, news bool, err error) {
	var none V
	began := since.Sub(c.epoch)
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return none, false, fmt.Errorf("looking up: %w", err)
		}
		e, f, err := c.reconsider(key, began)
		switch {
		case err != nil:
			return none, false, err
		case e != nil:
			return e.value, true, nil
		case f == nil:
			return none, false, nil
		}
		value, err := c.await(ctx, f, waiting{anew: true, already: c.now() - began})
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

// reconsider finds out what to do about a key for Recheck. It returns the entry that
// was read for this request already, or a load to wait for, or an error to answer with;
// none of them if there is no news.
func (c *Cache[V]) reconsider(key string, since moment) (*entry[V], *flight[V], error) {
	now := c.now()
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.absent.Get(key); ok && now < a.until {
		return nil, nil, a.err
	}
	e, held := t.entries.Peek(key)
	read, f := held && e.read > since, t.flights[key]
	if !read && f == nil {
		t.stats.Misses++
		f, err := c.begin(key, forMiss, now)
		return nil, f, err
	}
	if read && !e.readAsUnheld || !read && !f.purpose.unheld() {
		// The load itself was not, or is not, subject to the limits.
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

// remember keeps a key from being read again for each caller that its value is of no
// use to. The lock of the table is held.
func (c *Cache[V]) remember(key string, now moment) {
	c.recentlyRefused.absent(key)
	if c.cfg.AbsentTTL > 0 && c.table.absent.Add(strings.Clone(key), absence{until: now + c.shorten(c.cfg.AbsentTTL)}) {
		c.table.stats.AbsentEvictions++
	}
}
