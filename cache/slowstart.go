package cache

import (
	"math"
	"sync"
	"time"
)

// The parameters of a slow start.
const (
	// slowStartFloor is the minimum rate, in loads per second.
	slowStartFloor = 10
	// slowStartShare is the part of the usual rate with which a slow start begins. Loads
	// that cannot wait add to it.
	slowStartShare = 0.8
	// slowStartDoubling is the time in which the rate doubles.
	slowStartDoubling = 2 * time.Second
	// slowStartTime is the duration of a slow start.
	slowStartTime = 20 * time.Second
	// outageAfter is how many consecutive loads of different keys must find the store
	// unavailable for an outage: failures for a single record are not an outage.
	outageAfter = 5
	// usualWeight is the weight of the last second in the usual rate.
	usualWeight = 0.2
)

// A slowStart spreads the loads after an outage of the store. Without it all values in use would
// be loaded again in the first second after the outage. It does not delay loads for which a
// caller has no stale value. It is safe for concurrent use.
type slowStart struct {
	mu sync.Mutex
	// usual is the rate of loads that can wait, per second, without an outage.
	usual float64
	// second is the second of count.
	second int64
	count  float64
	// failures counts the consecutive loads that found the store unavailable.
	failures int
	// failed is the key of the last of them.
	failed string
	// up is the end of the last outage, 0 if there was none.
	up time.Duration
	// tokens is the number of loads that may begin at the time at.
	tokens float64
	at     time.Duration
}

// canWait says whether a load can wait, because its callers have a value.
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

// ended records whether the store was available for the load of key.
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
