package lastused

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// A key stands for a credential: 48 bits of a hash of its access token. It does not depend on the
// vault object, because several of them may share a mount. Of a million credentials two have the
// same key with a probability of 1 in 560; both then have the later of their last uses.
type key uint64

const keyBits = 48

func keyOf(accessToken string) key {
	h := sha256.Sum256([]byte(accessToken))
	return key(binary.BigEndian.Uint64(h[:]) >> (64 - keyBits))
}

// A minute is a time in minutes since 1970.
type minute uint32

func minuteOf(at time.Time) minute { return minute(max(0, at.Unix()/60)) } //nolint:gosec // until the year 10000

// time is the zero time for minute 0, which stands for none.
func (m minute) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(int64(m)*60, 0)
}

// A Use is told of the uses of a credential. It is safe for concurrent use.
type Use struct {
	key  key
	last atomic.Uint32
	// queued says that the Use is in the queue, and next is the one behind it there. Only
	// the goroutine that sets queued writes next.
	queued atomic.Bool
	next   *Use
	queue  *queue
}

// Used records that the credential is used at a time, with either of its secrets. It takes no
// lock, allocates nothing, and writes to memory that requests share once a minute.
func (u *Use) Used(at time.Time, _ bool) {
	now := uint32(minuteOf(at))
	for {
		last := u.last.Load()
		if last >= now {
			return
		}
		if u.last.CompareAndSwap(last, now) {
			break
		}
	}
	if u.queued.CompareAndSwap(false, true) {
		u.queue.push(u)
	}
}

// A queue has the Uses that were marked since it was last emptied. It is safe for concurrent use.
type queue struct{ first atomic.Pointer[Use] }

func (q *queue) push(u *Use) {
	for {
		u.next = q.first.Load()
		if q.first.CompareAndSwap(u.next, u) {
			return
		}
	}
}

// empty calls with with each Use in the queue, and takes it out.
func (q *queue) empty(with func(key, minute)) {
	for u := q.first.Swap(nil); u != nil; {
		next := u.next
		// From here on it may be queued again, so a use that comes after the load is not
		// lost.
		u.next = nil
		u.queued.Store(false)
		with(u.key, minute(u.last.Load()))
		u = next
	}
}
