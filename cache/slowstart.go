package cache

import (
	"math"
	"sync"
	"time"
)

// How a slow start goes.
const (
	// slowStartFloor is the least rate, in loads a second.
	slowStartFloor = 10
	// slowStartShare is the part of the usual rate that a slow start begins with: what
	// nobody can put off comes on top.
	slowStartShare = 0.8
	// slowStartDoubling is the time in which the rate doubles.
	slowStartDoubling = 2 * time.Second
	// slowStartTime is how long a slow start is.
	slowStartTime = 20 * time.Second
	// outageAfter is how many loads in a row, of different keys, must find the
	// store unavailable: a single record that it fails at is no outage.
	outageAfter = 5
	// usualWeight is the weight of the last second in what is usual.
	usualWeight = 0.2
)

// A slowStart spreads the loads that have piled up while the store was unavailable.
// All values that are in use want to be read again when it is back: a store that
// just came up would meet all of them in its first second. Loads that somebody
// else than a stale value has to wait for are not held up. It is safe for
// concurrent use.
type slowStart struct {
	mu sync.Mutex
	// usual is how many loads that can wait begin a second while all is well.
	usual float64
	// second is the one that count is of.
	second int64
	count  float64
	// failures counts the loads in a row that found the store unavailable.
	failures int
	// failed is the key of the last of them.
	failed string
	// up is when it came back last, 0 for never.
	up time.Duration
	// tokens is how many loads may begin, as of at.
	tokens float64
	at     time.Duration
}

// canWait says whether nobody has to wait for a load, as there is a value to
// answer with.
func (p purpose) canWait() bool { return p == forRefresh || p == forStale }

// began counts a load that can wait.
func (r *slowStart) began(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down() || r.climbing(now) {
		// Outages are excluded from the baseline.
		r.second = int64(now / time.Second)
		r.count = 0
		return
	}
	if second := int64(now / time.Second); second != r.second {
		r.usual += usualWeight * (r.count - r.usual)
		r.usual *= math.Pow(1-usualWeight, float64(second-r.second-1))
		r.second, r.count = second, 0
	}
	r.count++
}

func (r *slowStart) down() bool { return r.failures >= outageAfter }

func (r *slowStart) climbing(now time.Duration) bool { return r.up > 0 && now-r.up < slowStartTime }

// ended takes note of whether the load of key found the store able to answer.
func (r *slowStart) ended(key string, able bool, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !able {
		if key != r.failed {
			r.failures, r.failed = r.failures+1, key
		}
		return
	}
	if r.down() {
		r.up, r.at, r.tokens = now, now, 1
	}
	r.failures, r.failed = 0, ""
}

// allows says whether a load that can wait may begin.
func (r *slowStart) allows(now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down() || !r.climbing(now) {
		return true
	}
	rate := max(slowStartShare*r.usual, slowStartFloor) * math.Exp2(float64(now-r.up)/float64(slowStartDoubling))
	r.tokens = min(r.tokens+rate*(now-r.at).Seconds(), max(rate/10, 1))
	r.at = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
