package state

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A gate keeps a process from acting on what it knew before, in two cases.
//
// It was stopped, or starved. SIGSTOP cannot be noticed as such, but a sign of life
// that comes far too late can, by whoever looks first: the one who gives the signs,
// or a caller. The time since the last proof would not do as a sign: with a store
// that is slow or down it grows without any stop.
//
// Or nothing has proved for maxStale that what it knows is current.
type gate struct {
	born            time.Time
	limit, maxStale time.Duration
	// beat is when the last sign of life was; good when the last reading began
	// that proves what is known to be current. Both since born.
	beat, good atomic.Int64
	shut       atomic.Bool
	// wake ends the rest between two readings.
	wake chan struct{}

	mu sync.Mutex
	// opened is closed when the gate opens.
	opened chan struct{}
	// shutAt is when it was shut: a reading that began before does not count.
	shutAt int64
}

// newGate returns a gate that is shut until the first reading.
func newGate(limit, maxStale time.Duration) *gate {
	g := &gate{born: time.Now(), limit: limit, maxStale: max(limit, maxStale), wake: make(chan struct{}, 1), opened: make(chan struct{})}
	g.shut.Store(true)
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
	if !g.shut.Swap(true) {
		g.opened = make(chan struct{})
	}
	g.shutAt = now
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// pass waits until the gate is open. Without a proof for too long, its error wraps
// [authz.ErrUnavailable] at once.
func (g *gate) pass(ctx context.Context) error {
	now := g.now()
	if now-g.beat.Load() > int64(g.limit) {
		g.alive()
	}
	if g.shut.Load() {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if lag := now - g.good.Load(); lag > int64(g.maxStale) {
		return fmt.Errorf("%w: for %s nothing has proved that this replica knows of every change; see the state of its vault", authz.ErrUnavailable, time.Duration(lag).Round(time.Second))
	}
	return nil
}

// polled takes note of a reading that has ended, and says whether the gate is open
// now.
func (g *gate) polled(began int64, ok bool) bool {
	g.alive()
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok {
		g.good.Store(began)
	}
	if g.shut.Load() && began >= g.shutAt {
		g.shut.Store(false)
		close(g.opened)
	}
	return !g.shut.Load()
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
