package cache

import "sync/atomic"

// A purpose is what a load is for. It decides how many load slots it may find
// taken and still get one.
type purpose uint8

const (
	// forMiss: somebody waits for a key that is not held. Anybody can cause
	// these.
	forMiss purpose = iota
	// forRecentlyRefused: the same, and the key was refused before.
	forRecentlyRefused
	// forReload: somebody waits for a key that is held but has expired.
	forReload
	// forStale: the same, and there is a stale value to answer with.
	forStale
	// forRefresh: nobody waits.
	forRefresh
	purposes
)

// unheld says whether a load is of a key that is not held, or is treated as if it were
// not. Anybody can cause these, for keys of their choice.
func (p purpose) unheld() bool { return p == forMiss || p == forRecentlyRefused }

// An admission hands out load slots. Loads of one purpose cannot starve those of
// another: refreshes leave room for lookups, and misses for keys that are held,
// and a little for keys that are not but have been here before.
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

// enter takes a slot if there is one. It never waits.
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
