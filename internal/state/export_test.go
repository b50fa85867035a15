package state

import (
	"context"
	"time"
)

// MaxDocument is the size of the largest document.
const MaxDocument = maxDocument

// A TestGate is the freshness gate alone, to pause it as a process is paused: a bubble of
// synctest cannot stop one goroutine while time goes on.
type TestGate struct{ g *freshnessGate }

// NewTestGate returns the closed gate of a store with a configuration.
func NewTestGate(c Config) TestGate { return TestGate{newFreshnessGate(c.limit(), c.MaxStale)} }

// Now is when a poll begins.
func (g TestGate) Now() int64 { return g.g.now() }

// Heartbeat is what a process that runs does.
func (g TestGate) Heartbeat() { g.g.heartbeat() }

// PollEnded ends a poll that led to a revision, and says whether the gate is open.
func (g TestGate) PollEnded(began int64, ok bool, revision int) bool {
	g.g.pollEnded(began, g.g.now(), ok, revision)
	return g.g.isOpen(g.g.now())
}

// SetMaxStale is that of the store.
func (g TestGate) SetMaxStale(d time.Duration) { g.g.setMaxStale(d) }

// LogLost says that the log does not go on from the known position.
func (g TestGate) LogLost() { g.g.logLost() }

// Reloaded ends a reload.
func (g TestGate) Reloaded(ok bool, revision int) { g.g.reloaded(ok, revision) }

// Published says that there is a revision that no poll has brought.
func (g TestGate) Published(revision int) { g.g.published(revision) }

// Use says that decisions are made by a revision.
func (g TestGate) Use(revision int) { g.g.use(revision) }

// Wait waits until the gate is open.
func (g TestGate) Wait(ctx context.Context) error { return g.g.wait(ctx) }

// Pause does to the gate what a process notices after a pause.
func Pause(s *Store) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.close(s.gate.now())
}
