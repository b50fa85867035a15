package cache

import "sync/atomic"

// A purpose is the reason of a load. It decides how many load slots may be taken for the load
// to get one.
type purpose uint8

const (
	// forMiss: a caller waits for a key that is not held. Any client can cause these.
	forMiss purpose = iota
	// forRecentlyRefused: the same for a key that was refused before.
	forRecentlyRefused
	// forReload: a caller waits for a key that is held and has expired.
	forReload
	// forStale: the same, and a stale value can be served.
	forStale
	// forRefresh: no caller waits.
	forRefresh
	purposes
)

// unheld says whether a load is for a key that is not held, or is treated like one. Any client
// can cause these for keys of its choice.
func (p purpose) unheld() bool { return p == forMiss || p == forRecentlyRefused }

// An admission gives load slots to loads. Loads of one purpose cannot starve those of another:
// refreshes leave slots for lookups, and misses leave slots for keys that are held and a few
// for keys that were refused before.
type admission struct {
	taken  atomic.Int64
	byUse  [purposes]atomic.Int64
	limit  int64
	limits [purposes]int64
}

func newAdmission(slots int) *admission {
	n := int64(slots)
	return &admission{limit: n, limits: [purposes]int64{forMiss: n - n/4, forRecentlyRefused: n / 8, forReload: n, forStale: n, forRefresh: n / 2}}
}

// enter takes a slot if one is free. It never waits.
func (g *admission) enter(p purpose) bool {
	if g.taken.Add(1) > g.limit {
		g.taken.Add(-1)
		return false
	}
	if g.byUse[p].Add(1) > g.limits[p] {
		g.leave(p)
		return false
	}
	return true
}

// leave gives a slot back.
func (g *admission) leave(p purpose) {
	g.byUse[p].Add(-1)
	g.taken.Add(-1)
}
