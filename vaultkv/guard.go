package vaultkv

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// How the guard goes about it.
const (
	// After a probe there is no other one for guardPause at first, and for twice
	// as long after each that failed, up to maxGuardPause, plus up to a fifth at
	// random. They bound how late it is noticed that the server is back.
	guardPause    = 200 * time.Millisecond
	maxGuardPause = time.Second
	// probeReads is how many reads of a probe must fail, within the time of one. One
	// may fail by chance.
	probeReads = 2
)

// A guard is the circuit breaker of the reads: it holds them back while the server
// is not able to answer, or answers none because of our token or the mount. A
// request is then better served at once, by what is cached or by a quick 503, and a
// server that comes back is better served by one read than by all that have piled
// up.
//
// Only a probe decides that reads are held back, and that they are no longer: it
// reads keys that this service makes up itself. Clients choose the keys of all other
// reads, and a server may fail at some keys and be well, so a read that fails is no
// more than the reason for a probe. The guard is safe for concurrent use.
type guard struct {
	log *zap.Logger

	mu      sync.Mutex
	holding bool
	// probing says that a probe is under way; until when there is no other one,
	// and for how long after the next that fails.
	probing bool
	// outdated says that the probe under way began before lift.
	outdated bool
	until    time.Time
	pause    time.Duration
	held     uint64
	stretch  uint64
}

// Guarding is what the guard of a vault object does.
type Guarding struct {
	// Holding says that reads are held back now.
	Holding bool
	// Held counts the reads that were held back, Stretches how often that began.
	Held, Stretches uint64
}

func (g *guard) state() Guarding {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Guarding{Holding: g.holding, Held: g.held, Stretches: g.stretch}
}

// enter says whether a read may go on. If not, the caller may be the one to probe the
// server first, and then calls probed.
func (g *guard) enter(now time.Time) (ok, probe bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.holding {
		return true, false
	}
	if g.claim(now) {
		return false, true
	}
	g.held++
	return false, false
}

// doubt says whether the caller is to probe the server, because a read failed, and
// then to call probed.
func (g *guard) doubt(now time.Time) (probe bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.claim(now)
}

// claim says whether a probe is due, and takes it. The caller holds mu.
func (g *guard) claim(now time.Time) bool {
	if g.probing || now.Before(g.until) {
		return false
	}
	g.probing = true
	return true
}

// probed takes note of what came out of a claimed probe, and says whether reads may
// go on.
func (g *guard) probed(problem *Error, now time.Time) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	outdated := g.outdated
	g.probing, g.outdated = false, false
	switch {
	case problem != nil && (problem.aside || outdated):
		// Nothing was learned.
	case problem != nil && problem.helpless():
		g.pause = min(max(2*g.pause, guardPause), maxGuardPause)
		g.until = now.Add(backoff.Jitter(g.pause, g.pause/5))
		if !g.holding {
			g.holding = true
			g.stretch++
			g.log.Warn("vault reads are held back until it answers again")
		}
	default:
		g.release()
		g.until = now.Add(guardPause)
	}
	return !g.holding
}

// lift lets reads through again for another reason than a probe, such as a new token.
// If that was in vain, the first of them is the reason for a probe.
func (g *guard) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release()
	g.until, g.outdated = time.Time{}, g.probing
}

// release lets reads through. The caller holds mu.
func (g *guard) release() {
	if g.holding {
		g.log.Info("vault reads are no longer held back", zap.Uint64("held_back", g.held))
	}
	g.holding, g.pause = false, 0
}

// helpless says whether a failure may be one of the vault object as a whole, so that
// it makes no sense to ask for any other record. A definite answer is not, nor is
// one about a single record. Policies may cover some records and not others.
func (e *Error) helpless() bool {
	switch e.State {
	case StateFailing:
		return e.Status >= 500 || e.Status == 412 || e.Status == 472 || e.Status == 473 || e.Status == 474
	case StateUnreachable, StateSealed, StateLimited, StateTokenRejected, StateLoginRefused, StateNoMount, StateWrongVersion:
		return true
	case StateUnknown, StateOK, StateForbidden, StateNotCurrent, stateCount:
	}
	return false
}

// heldBack is what a read gets that the guard does not let through. It is no news
// of the server.
func (v *Vault) heldBack() *Error {
	s := v.State()
	if s == StateOK || s == StateUnknown {
		s = StateUnreachable
	}
	problem := fail(s, 0, "the last reads from %s brought no answer (state %s), so this one was held back; it is asked again within %s", v.cfg.Address, s, maxGuardPause+maxGuardPause/5)
	if last := v.health.last(); last != nil && last.State == s {
		problem.moment = "; what came of the last one: " + last.detail
	}
	problem.aside = true
	return problem
}
