package expiring

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	day = 24 * time.Hour
	// window is for how long after its last use a credential counts as in use. A client that
	// comes once a day is one.
	window = day
	// replacedWindow is that for a secret that was replaced: a client that has changed over
	// does not come back to it.
	replacedWindow = time.Hour
	// unread is the longest time until a credential that is in use is read again.
	unread = 7 * day
	// horizon is how long before its end a credential is watched.
	horizon = 30*day + unread
	// shards are locked one after the other, so that none is locked for long.
	shards = 64
)

// A minute is a time in minutes since 1970, 0 for none.
type minute uint32

func minuteOf(t time.Time) minute {
	if t.IsZero() {
		return 0
	}
	return minute(min(max(1, t.Unix()/60), math.MaxUint32))
}

// until is negative if end is in the past.
func (m minute) until(end minute) time.Duration {
	return time.Duration(int64(end)-int64(m)) * time.Minute
}

// A Watch has the credentials of one vault object that expire soon. Make it with [New]. It is safe
// for concurrent use.
type Watch struct {
	seed maphash.Seed
	// capacity is that of a shard.
	capacity int
	shards   [shards]shard
}

type shard struct {
	mu   sync.Mutex
	uses map[string]*Use
}

// New returns a Watch that knows no credentials, and at most capacity later. Beyond that it forgets
// one for another one, whichever.
func New(capacity int) *Watch {
	w := &Watch{seed: maphash.MakeSeed(), capacity: capacity/shards + 1}
	w.ForgetAll()
	return w
}

func (w *Watch) shard(accessToken string) *shard {
	return &w.shards[maphash.String(w.seed, accessToken)%shards]
}

// A Use is told of the uses of a credential that expires soon. It is safe for concurrent use.
type Use struct {
	// last and lastReplaced are when the credential, and its replaced secret, were last used.
	last, lastReplaced atomic.Uint32
	// The lock of the shard guards these. read is when the credential was last read.
	end, replacedEnd, read minute
}

// Used records a use. replaced says that the request had the secret that was replaced.
func (u *Use) Used(at time.Time, replaced bool) {
	now := uint32(minuteOf(at))
	mark(&u.last, now)
	if replaced {
		mark(&u.lastReplaced, now)
	}
}

// mark writes to memory that requests share once a minute. Of two at the same time the earlier one
// may win, which makes a minute's difference.
func mark(last *atomic.Uint32, now uint32) {
	if last.Load() < now {
		last.Store(now)
	}
}

// Read is called with a credential that was read: its end and that of its replaced secret, zero
// for none. It returns what its uses are to be told to, nil if nothing of it expires soon.
func (w *Watch) Read(accessToken string, end, replacedEnd, at time.Time) *Use {
	now := minuteOf(at)
	ends, replaced := minuteOf(end), minuteOf(replacedEnd)
	if replaced <= now {
		replaced = 0 // it is not accepted any more
	}
	if !now.near(ends) && !now.near(replaced) {
		w.Forget(accessToken)
		return nil
	}
	s := w.shard(accessToken)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uses[accessToken]
	if u == nil {
		u = &Use{}
		s.put(accessToken, u, w.capacity)
	}
	if u.replacedEnd != replaced {
		u.lastReplaced.Store(0) // it was another secret
	}
	u.end, u.replacedEnd, u.read = ends, replaced, now
	return u
}

func (s *shard) put(accessToken string, u *Use, capacity int) {
	for other := range s.uses {
		if len(s.uses) < capacity {
			break
		}
		delete(s.uses, other)
	}
	s.uses[accessToken] = u
}

func (m minute) near(end minute) bool { return end != 0 && m.until(end) < horizon }

// Forget is called with a credential that is gone or has changed. It counts again once it has been
// read and used again.
func (w *Watch) Forget(accessToken string) {
	s := w.shard(accessToken)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uses, accessToken)
}

// ForgetAll forgets every credential.
func (w *Watch) ForgetAll() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.uses = map[string]*Use{}
		s.mu.Unlock()
	}
}

// A Count has numbers of credentials in use. Each includes those before it.
type Count struct {
	// Day, Week and Month are the credentials that expire within 1, 7 and 30 days, or have
	// expired since they were used.
	Day, Week, Month int
	// ReplacedHour and ReplacedDay are those whose replaced secret is in use and expires
	// within an hour and a day.
	ReplacedHour, ReplacedDay int
}

// Count counts, and forgets what has not been in use for long.
func (w *Watch) Count(at time.Time) Count {
	var c Count
	for i := range w.shards {
		w.shards[i].count(&c, minuteOf(at))
	}
	return c
}

func (s *shard) count(c *Count, now minute) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for accessToken, u := range s.uses {
		if now.since(&u.last) > window {
			if over := u.end != 0 && u.end <= now; over || u.read.until(now) > unread+window {
				delete(s.uses, accessToken)
			}
			continue
		}
		if u.end != 0 {
			left := now.until(u.end)
			c.Day += one(left <= day)
			c.Week += one(left <= 7*day)
			c.Month += one(left <= 30*day)
		}
		if u.replacedEnd > now && now.since(&u.lastReplaced) <= replacedWindow {
			left := now.until(u.replacedEnd)
			c.ReplacedHour += one(left <= time.Hour)
			c.ReplacedDay += one(left <= day)
		}
	}
}

func (m minute) since(last *atomic.Uint32) time.Duration { return minute(last.Load()).until(m) }

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}
