package vaultkv

import (
	"context"
	"sync"
	"time"
)

// A flight lets one do what many need, while the others wait for it. It goes on
// when those who wait give up: a login that is half done may have used up a
// secret id. The zero value is ready.
type flight struct {
	mu      sync.Mutex
	current *flown
	closed  bool
	flying  sync.WaitGroup
}

type flown struct {
	done    chan struct{}
	cancel  context.CancelFunc
	problem *Error
}

// join waits for the outcome of the flight under way. Without one it begins one,
// if begin says so; if it does not, began is false. limit bounds the flight, ctx
// only the wait.
func (f *flight) join(ctx context.Context, limit time.Duration, begin func() bool, do func(context.Context) *Error) (problem *Error, began bool) {
	f.mu.Lock()
	current := f.current
	if current == nil {
		if f.closed || !begin() {
			f.mu.Unlock()
			return nil, false
		}
		current = f.begin(ctx, limit, do)
	}
	f.mu.Unlock()
	select {
	case <-current.done:
		return current.problem, true
	case <-ctx.Done():
		problem = fail(StateUnreachable, 0, "there was no time to wait for the login or its check")
		problem.cause, problem.aside = ctx.Err(), true
		return problem, true
	}
}

// begin starts a flight. The caller holds mu.
func (f *flight) begin(ctx context.Context, limit time.Duration, do func(context.Context) *Error) *flown {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	current := &flown{done: make(chan struct{}), cancel: cancel}
	f.current = current
	f.flying.Go(func() {
		defer func() {
			if recover() != nil {
				current.problem = fail(StateFailing, 0, "logging in failed within this program; please report it")
			}
			cancel()
			f.mu.Lock()
			f.current = nil
			f.mu.Unlock()
			close(current.done)
		}()
		current.problem = do(ctx)
	})
	return current
}

// close ends the flight under way, and lets no other begin.
func (f *flight) close() {
	f.mu.Lock()
	f.closed = true
	if f.current != nil {
		f.current.cancel()
	}
	f.mu.Unlock()
	f.flying.Wait()
}
