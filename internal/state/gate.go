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

// A gate keeps a process from acting on what it knew before, in three cases.
//
// It was stopped, or starved. SIGSTOP cannot be noticed as such, but a sign of life
// that comes far too late can, by whoever looks first: the one who gives the signs,
// or a caller. The time since the last proof would not do as a sign: with a store
// that is slow or down it grows without any stop.
//
// Or nothing has proved for maxStale that what it knows is current.
//
// Or it is known that something else is so: the log said so, and decisions are not
// made by it yet, for longer than limit.
type gate struct {
	born            time.Time
	limit, maxStale time.Duration
	// beat is when the last sign of life was; good when the last reading began
	// that proves what decisions are made by to be current; until when that is good
	// enough in spite of what is known beyond. All since born.
	beat, good, until atomic.Int64
	shut              atomic.Bool
	// wake ends the rest between two readings.
	wake chan struct{}

	mu sync.Mutex
	// opened is closed when the gate opens, nil while nobody waits for that.
	opened chan struct{}
	// shutAt is when it was shut: a reading that began before does not count.
	shutAt int64
	// before is when the last reading began, or when it ended if it brought nothing: what
	// is found after it may have been so since then.
	before int64
	// ended are readings that have ended and that decisions are not made by yet, in
	// their order, and used is the number of the last news that they are made by.
	ended []endedReading
	used  int
	// lost is since when this replica may be behind the log and cannot read on in it,
	// forever if it is not. A reading that succeeds ends that if it began at found or
	// later: one from before may have seen the log as it was. It is forever while
	// everything is read.
	lost, found int64
}

// noReading is when news began that are of no reading. They do not open the gate: only a
// reading that began after a stop does.
const noReading = -1

// An endedReading is a reading of the log that has ended, or news.
type endedReading struct {
	began int64
	ok    bool
	// news is the number of the newest thing that it, or one before, led to.
	news int
	// since is from when on things may have been that it found.
	since int64
}

// maxEnded bounds how many readings are kept.
const maxEnded = 64

// forever is after every moment.
const forever = math.MaxInt64

// newGate returns a gate that is shut until the first reading.
func newGate(limit, maxStale time.Duration) *gate {
	g := &gate{born: time.Now(), limit: limit, maxStale: max(limit, maxStale), wake: make(chan struct{}, 1), lost: forever}
	g.shut.Store(true)
	g.until.Store(forever)
	return g
}

// now is the time since born. It goes on while a process is stopped.
func (g *gate) now() int64 { return int64(time.Since(g.born)) }

func (g *gate) lag() time.Duration { return time.Duration(g.now() - g.good.Load()) }

// beatUntil gives signs of life until ctx ends.
func (g *gate) beatUntil(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		g.alive()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// alive is a sign of life. It shuts the gate if it comes too late.
func (g *gate) alive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if now-g.beat.Load() > int64(g.limit) {
		g.close(now)
	}
	g.beat.Store(now)
}

// close shuts the gate. The caller holds mu.
func (g *gate) close(now int64) {
	g.shut.Store(true)
	g.shutAt = now
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *gate) isOpen(now int64) bool { return !g.shut.Load() && now <= g.until.Load() }

// pass waits until the gate is open. Without a proof for too long, its error wraps
// [authz.ErrUnavailable] at once.
func (g *gate) pass(ctx context.Context) error {
	for {
		now := g.now()
		if now-g.beat.Load() > int64(g.limit) {
			g.alive()
		}
		if g.isOpen(now) {
			return g.proof(now)
		}
		opened := g.toOpen()
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

func (g *gate) proof(now int64) error {
	if lag := now - g.good.Load(); lag > int64(g.maxStale) {
		return fmt.Errorf("%w: for %s nothing has proved that this replica knows of every change; see the state of its vault", authz.ErrUnavailable, time.Duration(lag).Round(time.Second))
	}
	return nil
}

// toOpen returns what is closed when the gate opens, nil if it is open.
func (g *gate) toOpen() <-chan struct{} {
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

// polled takes note of a reading that has ended, at a time. It counts when decisions are
// made by the news with that number, the last one at that time.
func (g *gate) polled(began, ended int64, ok bool, news int) {
	g.alive()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(endedReading{began, ok, news, g.before})
	if g.before = ended; ok {
		g.before = began
	}
	if ok && began >= g.found {
		g.lost = forever
	}
	g.settle()
}

// told takes note of news, which the next reading may take long to say: a change of this
// replica's own, or what a caller has read.
func (g *gate) told(news int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := endedReading{noReading, false, news, min(g.before, g.lost)}
	// One of them for each reading is enough. As many as there are changes would leave no
	// room for readings, which prove something.
	if n := len(g.ended); n > 0 && g.ended[n-1].began == noReading && g.ended[n-1].since == r.since {
		g.ended = g.ended[:n-1]
	}
	g.end(r)
	g.settle()
}

// end keeps a reading. The caller holds mu.
func (g *gate) end(r endedReading) {
	g.ended = append(g.ended, r)
	if len(g.ended) > maxEnded {
		g.ended[2].since = g.ended[1].since
		g.ended = append(g.ended[:1], g.ended[2:]...)
	}
}

// use takes note that decisions are made by the news with that number.
func (g *gate) use(news int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used = max(g.used, news)
	g.settle()
}

// lose takes note that the log does not go on from what is known, and that everything
// is read.
func (g *gate) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lost, g.found = min(g.lost, g.before), forever
	g.settle()
}

// loaded takes note that everything was read, which led to the news with that number, or
// that this failed. What was read was there since the log was lost, however many readings
// have failed since then.
func (g *gate) loaded(ok bool, news int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.found = g.now(); ok {
		g.end(endedReading{noReading, false, news, g.lost})
		g.lost = forever
	}
	g.settle()
}

// settle draws conclusions. The caller holds mu.
func (g *gate) settle() {
	for len(g.ended) > 0 && g.ended[0].news <= g.used {
		r := g.ended[0]
		g.ended = g.ended[1:]
		if r.ok {
			g.good.Store(r.began)
		}
		if r.began >= g.shutAt {
			g.shut.Store(false)
		}
	}
	behind := g.lost
	if len(g.ended) > 0 {
		behind = min(behind, g.ended[0].since)
	}
	until := int64(forever)
	if behind != forever {
		until = behind + int64(g.limit)
	}
	g.until.Store(until)
	if g.opened != nil && g.isOpen(g.now()) {
		close(g.opened)
		g.opened = nil
	}
}

// rest waits for d, less if the gate is shut meanwhile.
func (g *gate) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-g.wake:
	}
}
