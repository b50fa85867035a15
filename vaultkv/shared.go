package vaultkv

import (
	"context"
	"sync"
	"time"
)

// A shared lets callers share what is done for them: it begins after each of
// them has come, one at a time, with a gap between two beginnings.
type shared struct {
	do    func(context.Context) *Error
	limit time.Duration
	gap   time.Duration

	mu            sync.Mutex
	running, next *round
	last          time.Time
}

// A round is one doing. Its outcome is problem once done is closed.
type round struct {
	done    chan struct{}
	problem *Error
}

// join waits for the outcome of a doing that begins after the call. ctx bounds
// the wait; the doing is bounded by the limit, and goes on for the others.
func (s *shared) join(ctx context.Context) *Error {
	t := s.enter(ctx)
	select {
	case <-t.done:
		return t.problem
	case <-ctx.Done():
		problem := fail(StateUnreachable, 0, "there was no time to wait for the server to prove that it is current")
		problem.cause, problem.aside = ctx.Err(), true
		return problem
	}
}

func (s *shared) enter(ctx context.Context) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		return s.next
	}
	t := &round{done: make(chan struct{})}
	if s.running != nil {
		s.next = t
		return t
	}
	s.next = t
	s.begin(context.WithoutCancel(ctx))
	return t
}

// begin runs the next round when the gap has passed. The caller holds mu.
func (s *shared) begin(ctx context.Context) {
	t, wait := s.next, s.gap-time.Since(s.last)
	s.running = t
	go func() {
		if wait > 0 {
			_ = pause(ctx, wait) // who comes meanwhile shares it
		}
		s.mu.Lock()
		if s.next == t {
			s.next = nil
		}
		s.last = time.Now()
		s.mu.Unlock()
		t.problem = s.run(ctx)
		s.mu.Lock()
		s.running = nil
		if s.next != nil {
			s.begin(ctx)
		}
		s.mu.Unlock()
		close(t.done)
	}()
}

func (s *shared) run(ctx context.Context) (problem *Error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	defer func() {
		if recover() != nil {
			problem = fail(StateFailing, 0, "the sync failed within this program; please report it")
		}
	}()
	return s.do(ctx)
}
