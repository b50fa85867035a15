package vaultkv

import (
	"context"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
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
	closed        bool
	rounds        sync.WaitGroup
}

// A round is one doing. Its outcome is problem once done is closed.
type round struct {
	done    chan struct{}
	cancel  context.CancelFunc
	problem *Error
}

// join waits for the outcome of a doing that begins after the call. ctx bounds
// the wait; the doing is bounded by the limit, and goes on for the others.
func (s *shared) join(ctx context.Context) *Error {
	r := s.enter(ctx)
	if r == nil {
		return asideError("the service stops", context.Canceled)
	}
	select {
	case <-r.done:
		return r.problem
	case <-ctx.Done():
		return asideError("there was no time to wait for the server to prove that it is current", ctx.Err())
	}
}

func asideError(text string, cause error) *Error {
	problem := fail(StateUnreachable, 0, "%s", text)
	problem.cause, problem.aside = cause, true
	return problem
}

// enter returns a round that has not begun, nil after close.
func (s *shared) enter(ctx context.Context) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
		if s.running == nil {
			s.start(context.WithoutCancel(ctx))
			return s.running
		}
	}
	return s.next
}

// start runs the next round when the gap has passed. The caller holds mu.
func (s *shared) start(ctx context.Context) {
	r, wait := s.next, s.gap-time.Since(s.last)
	ctx, r.cancel = context.WithCancel(ctx)
	s.running = r
	s.rounds.Go(func() {
		if wait > 0 {
			_ = backoff.Sleep(ctx, wait) // who comes meanwhile shares it
		}
		s.mu.Lock()
		s.next, s.last = nil, time.Now()
		s.mu.Unlock()
		r.problem = s.run(ctx)
		r.cancel()
		s.mu.Lock()
		s.running = nil
		if s.next != nil {
			s.start(context.WithoutCancel(ctx))
			if s.closed {
				s.running.cancel()
			}
		}
		s.mu.Unlock()
		close(r.done)
	})
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

// close ends what is under way, and lets nothing else begin.
func (s *shared) close() {
	s.mu.Lock()
	s.closed = true
	if s.running != nil {
		s.running.cancel()
	}
	s.mu.Unlock()
	s.rounds.Wait()
}
