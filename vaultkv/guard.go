package vaultkv

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// How the guard goes about it.
const (
	// guardPatience is how many reads in a row may bring nothing before the
	// guard holds the next ones back.
	guardPatience = 5
	// The server is asked again after guardPause at first, and after twice as
	// long each time up to maxGuardPause, plus up to a fifth at random. They
	// bound how late it is noticed that the server is back.
	guardPause    = 200 * time.Millisecond
	maxGuardPause = time.Second
)

// A guard holds reads back while the server is not able to answer, or answers
// none because of our token or the mount: who waits for one is better served at
// once, by what is cached or by a quick 503, and a server that comes back is better
// served by one read than by all that have piled up. While it holds back, it lets
// one read at a time through, now and then, to see; the first definite answer ends
// it. It is safe for concurrent use.
type guard struct {
	log *zap.Logger

	mu sync.Mutex
	// failures counts the reads that brought nothing since the last that did.
	failures int
	// lastKey is the record that the server failed at last.
	lastKey string
	// holding says that reads are held back; until when, unless a read is under
	// way to see; and for how long the next time.
	holding bool
	seeing  bool
	until   time.Time
	pause   time.Duration
	held    uint64
	stretch uint64
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

// enter says whether a read may go on, and if so, whether it is the one that goes
// to see. Each enter that says yes is followed by leave.
func (g *guard) enter(now time.Time) (ok, toSee bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.holding:
		return true, false
	case g.seeing || now.Before(g.until):
		g.held++
		return false, false
	}
	g.seeing = true
	return true, true
}

// seeNow lets the next read go to see, because there is reason to hope.
func (g *guard) seeNow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Time{}
}

// leave takes note of what became of a read.
func (g *guard) leave(key string, toSee bool, problem *Error, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if toSee {
		g.seeing = false
	}
	switch {
	case problem != nil && problem.aside:
		// Nothing was learned.
	case problem == nil || !problem.helpless():
		g.recovered()
	case g.holding:
		if toSee {
			g.hold(now)
		}
	case problem.State == StateFailing && key == g.lastKey:
		// A record that the server fails at says nothing of the others, however
		// often it is asked for.
	default:
		g.failures++
		if problem.State == StateFailing {
			g.lastKey = key
		}
		if g.failures >= guardPatience {
			g.holding = true
			g.stretch++
			g.hold(now)
			g.log.Warn("vault reads are held back until it answers again")
		}
	}
}

// hold puts the next look off. The caller holds mu.
func (g *guard) hold(now time.Time) {
	g.pause = min(max(2*g.pause, guardPause), maxGuardPause)
	g.until = now.Add(jitter(g.pause, g.pause/5))
}

// recovered lets reads through again. The caller holds mu.
func (g *guard) recovered() {
	if g.holding {
		g.log.Info("vault reads are no longer held back", zap.Uint64("held_back", g.held))
	}
	g.failures, g.lastKey, g.holding, g.pause = 0, "", false, 0
}

// helpless says whether a failure is one of the vault object as a whole, so that
// it makes no sense to ask for any other record. A definite answer is not, nor is
// one about a single record. Policies may cover some records and not others: if
// reads were held back because of those, made-up tokens could have it done.
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
	problem.aside = true
	return problem
}
