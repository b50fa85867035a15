package state

import "context"

// A TestGate is the gate alone, to stop it as a process is stopped: a bubble of
// synctest cannot stop one goroutine while time goes on.
type TestGate struct{ g *gate }

// NewTestGate returns a gate that is shut, of a store with a configuration.
func NewTestGate(c Config) TestGate { return TestGate{newGate(c.limit(), c.MaxStale)} }

// Now is when a reading begins.
func (g TestGate) Now() int64 { return g.g.now() }

// Alive is a sign of life.
func (g TestGate) Alive() { g.g.alive() }

// Polled is the end of a reading that led to the news with that number, and says
// whether the gate is open.
func (g TestGate) Polled(began int64, ok bool, news int) bool {
	g.g.polled(began, g.g.now(), ok, news)
	return g.g.isOpen(g.g.now())
}

// Lose says that the log does not go on from what is known.
func (g TestGate) Lose() { g.g.lose() }

// Loaded says that everything was read, or that this failed.
func (g TestGate) Loaded(ok bool, news int) { g.g.loaded(ok, news) }

// Told says that there is news which no reading has said yet.
func (g TestGate) Told(news int) { g.g.told(news) }

// Use says that decisions are made by the news with that number.
func (g TestGate) Use(news int) { g.g.use(news) }

// Pass waits.
func (g TestGate) Pass(ctx context.Context) error { return g.g.pass(ctx) }

// Stop does to the gate what a process notices after it was stopped.
func Stop(s *Store) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.close(s.gate.now())
}
