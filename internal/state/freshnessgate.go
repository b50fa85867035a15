package state

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A freshnessGate holds decisions back while the memory that they would be made from may
// be out of date. There are three such cases.
//
// This process was paused (SIGSTOP, a suspended machine) or starved of CPU. The process
// cannot see the pause itself, but it can see that a heartbeat is far too late: the
// goroutine that beats looks, and so does each caller. The age of the last proof would
// not tell, since it grows in the same way while the store is slow or down.
//
// Or no poll has proved for maxStale that memory is current.
//
// Or a poll has read a change, and decisions have been made without it for longer than
// limit.
//
// All times are nanoseconds since start.
type freshnessGate struct {
	start time.Time
	limit time.Duration
	// maxStale is a duration of at least limit, which can change.
	maxStale atomic.Int64
	// lastBeat is the last heartbeat. provedAt is when the last poll began that proves
	// the revision in use to be current. usableUntil is until when the revision in use
	// may be used although a newer one is known.
	lastBeat, provedAt, usableUntil atomic.Int64
	// closed is set by a pause, until a poll that began later has ended.
	closed atomic.Bool
	// pollNow ends the sleep between two polls.
	pollNow chan struct{}

	mu sync.Mutex
	// opened is closed when the gate opens; it is nil while nobody waits.
	opened chan struct{}
	// closedAt is when the gate was closed: a poll that began earlier does not open it.
	closedAt int64
	// lastPoll is when the last poll that succeeded began, or when the last one that
	// failed ended. What the next poll finds may have been true since then.
	lastPoll int64
	// pending are polls and revisions that are not in use yet, the oldest first.
	pending []pendingRevision
	// inUse is the revision that decisions are made by.
	inUse int
	// lostSince is since when this replica may have been behind a log that it cannot
	// read on in; forever while it can. A successful poll that began at reloadedAt or
	// later clears it; an earlier one may have read the log that was lost. reloadedAt
	// is forever during a reload.
	lostSince, reloadedAt int64
}

// noPoll is the beginning of a revision that no poll has brought. It does not open the
// gate after a pause: only a poll that began later does.
const noPoll = -1

// A pendingRevision is a poll that has ended, or a revision that came in another way.
type pendingRevision struct {
	began int64
	// proves: the poll succeeded, so the revision was current when it began.
	proves   bool
	revision int
	// since is the earliest time at which the change that it brings may have been made.
	since int64
}

// maxPending bounds how many are kept.
const maxPending = 64

// forever is later than any time.
const forever = math.MaxInt64

// newFreshnessGate returns a gate that is closed until the first poll.
func newFreshnessGate(limit, maxStale time.Duration) *freshnessGate {
	g := &freshnessGate{start: time.Now(), limit: limit, pollNow: make(chan struct{}, 1), lostSince: forever}
	g.setMaxStale(maxStale)
	g.closed.Store(true)
	g.usableUntil.Store(forever)
	return g
}

func (g *freshnessGate) setMaxStale(d time.Duration) { g.maxStale.Store(int64(max(g.limit, d))) }

// now is the time since start. It goes on during a pause.
func (g *freshnessGate) now() int64 { return int64(time.Since(g.start)) }

func (g *freshnessGate) lag() time.Duration { return time.Duration(g.now() - g.provedAt.Load()) }

// heartbeatUntil beats until ctx ends.
func (g *freshnessGate) heartbeatUntil(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		g.heartbeat()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// heartbeat closes the gate if it comes too late.
func (g *freshnessGate) heartbeat() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if now-g.lastBeat.Load() > int64(g.limit) {
		g.close(now)
	}
	g.lastBeat.Store(now)
}

// close closes the gate and asks for a poll. The caller holds mu.
func (g *freshnessGate) close(now int64) {
	g.closed.Store(true)
	g.closedAt = now
	select {
	case g.pollNow <- struct{}{}:
	default:
	}
}

func (g *freshnessGate) isOpen(now int64) bool {
	return !g.closed.Load() && now <= g.usableUntil.Load()
}

// wait returns when the gate is open. Its error wraps [authz.ErrUnavailable] if nothing
// has proved for maxStale that memory is current.
func (g *freshnessGate) wait(ctx context.Context) error {
	for {
		now := g.now()
		if now-g.lastBeat.Load() > int64(g.limit) {
			g.heartbeat()
		}
		if g.isOpen(now) {
			return g.proof(now)
		}
		opened := g.whenOpened()
		if opened == nil {
			continue
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *freshnessGate) proof(now int64) error {
	if lag := now - g.provedAt.Load(); lag > g.maxStale.Load() {
		return fmt.Errorf("%w: for %s nothing has proved that this replica knows of every change; see the state of its vault", authz.ErrUnavailable, time.Duration(lag).Round(time.Second))
	}
	return nil
}

// whenOpened returns a channel that is closed when the gate opens, nil if it is open.
func (g *freshnessGate) whenOpened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen(g.now()) {
		return nil
	}
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	return g.opened
}

// pollEnded records a poll, after which revision is the newest one. The poll counts when
// that revision is in use.
func (g *freshnessGate) pollEnded(began, ended int64, ok bool, revision int) {
	g.heartbeat()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(pendingRevision{began, ok, revision, g.lastPoll})
	if g.lastPoll = ended; ok {
		g.lastPoll = began
	}
	if ok && began >= g.reloadedAt {
		g.lostSince = forever
	}
	g.evaluate()
}

// published records a revision before its poll has ended, which may take long, or one that
// came with a change of this replica's own.
func (g *freshnessGate) published(revision int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := pendingRevision{noPoll, false, revision, min(g.lastPoll, g.lostSince)}
	// One of them for each poll is enough. If each change were kept, there would be no
	// room for polls, which prove something.
	if n := len(g.pending); n > 0 && g.pending[n-1].began == noPoll && g.pending[n-1].since == r.since {
		g.pending = g.pending[:n-1]
	}
	g.add(r)
	g.evaluate()
}

// add keeps r. The caller holds mu.
func (g *freshnessGate) add(r pendingRevision) {
	g.pending = append(g.pending, r)
	if len(g.pending) > maxPending {
		g.pending[2].since = g.pending[1].since
		g.pending = append(g.pending[:1], g.pending[2:]...)
	}
}

// use records that decisions are made by a revision.
func (g *freshnessGate) use(revision int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inUse = max(g.inUse, revision)
	g.evaluate()
}

// logLost records that the log does not go on from the known position, and that a reload
// has begun.
func (g *freshnessGate) logLost() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lostSince, g.reloadedAt = min(g.lostSince, g.lastPoll), forever
	g.evaluate()
}

// reloaded records the end of a reload, after which revision is the newest one if it
// succeeded. What it read may have been there since the log was lost, however many polls
// have failed since then.
func (g *freshnessGate) reloaded(ok bool, revision int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reloadedAt = g.now(); ok {
		g.add(pendingRevision{noPoll, false, revision, g.lostSince})
		g.lostSince = forever
	}
	g.evaluate()
}

// evaluate drops what is in use from pending, and sets what follows. The caller holds mu.
func (g *freshnessGate) evaluate() {
	for len(g.pending) > 0 && g.pending[0].revision <= g.inUse {
		r := g.pending[0]
		g.pending = g.pending[1:]
		if r.proves {
			g.provedAt.Store(r.began)
		}
		if r.began >= g.closedAt {
			g.closed.Store(false)
		}
	}
	behindSince := g.lostSince
	if len(g.pending) > 0 {
		behindSince = min(behindSince, g.pending[0].since)
	}
	until := int64(forever)
	if behindSince != forever {
		until = behindSince + int64(g.limit)
	}
	g.usableUntil.Store(until)
	if g.opened != nil && g.isOpen(g.now()) {
		close(g.opened)
		g.opened = nil
	}
}

// sleep waits for d, or until the gate is closed.
func (g *freshnessGate) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-g.pollNow:
	}
}
