package vaultkv

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// A coalescer runs one operation for many callers. Each run begins after the calls
// that it serves, so its outcome is valid for all of them. There is one run at a time,
// and at least gap between the beginnings of two runs. It is safe for concurrent use.
// Make one with newCoalescer.
type coalescer struct {
	do    func(context.Context) *Error
	limit time.Duration
	gap   time.Duration

	open context.Context //nolint:containedctx // it is that of all runs, and ends with close
	end  context.CancelFunc
	// turn has room for one: the run under way, or a caller that has waited for it.
	turn chan struct{}
	// begun counts the runs that have begun.
	begun atomic.Uint64
	// last is when the last run began, problem its outcome. Only the one in turn uses them.
	last    time.Time
	problem *Error
}

// newCoalescer returns a coalescer of do. limit bounds a run.
func newCoalescer(do func(context.Context) *Error, limit, gap time.Duration) *coalescer {
	c := &coalescer{do: do, limit: limit, gap: gap, turn: make(chan struct{}, 1)}
	c.open, c.end = context.WithCancel(context.Background()) //nolint:forbidigo // close ends it
	return c
}

// join waits for the outcome of a run that begins after the call. ctx bounds the wait;
// limit bounds the run, which goes on for the other callers.
func (c *coalescer) join(ctx context.Context) *Error {
	before := c.begun.Load()
	select {
	case c.turn <- struct{}{}:
	case <-c.open.Done():
		return errStops()
	case <-ctx.Done():
		return errNoTime(ctx)
	}
	if c.open.Err() != nil || c.begun.Load() > before {
		defer func() { <-c.turn }()
		if c.open.Err() != nil {
			return errStops()
		}
		return c.problem
	}
	outcome := make(chan *Error, 1)
	go func() {
		c.problem = c.run(context.WithoutCancel(ctx))
		outcome <- c.problem
		<-c.turn
	}()
	select {
	case problem := <-outcome:
		return problem
	case <-ctx.Done():
		return errNoTime(ctx)
	}
}

func errStops() *Error { return interrupted("the service stops", context.Canceled) }

func errNoTime(ctx context.Context) *Error {
	return interrupted("there was no time to wait for the server to prove that it is current", ctx.Err())
}

func interrupted(text string, cause error) *Error {
	problem := fail(StateUnreachable, 0, "%s", text)
	problem.cause, problem.inconclusive = cause, true
	return problem
}

// run runs the operation when the gap has passed. Only the one in turn calls it.
func (c *coalescer) run(ctx context.Context) (problem *Error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.open, cancel)() //nolint:contextcheck // it ends each run, whatever its context
	if wait := c.gap - time.Since(c.last); wait > 0 {
		_ = backoff.Sleep(ctx, wait) // Callers that come meanwhile share this run.
	}
	c.begun.Add(1)
	c.last = time.Now()
	ctx, cancel = context.WithTimeout(ctx, c.limit)
	defer cancel()
	defer func() {
		if recover() != nil {
			problem = fail(StateFailing, 0, "the sync failed within this program; please report it")
		}
	}()
	return c.do(ctx)
}

// close cancels the run under way, waits for it, and lets no other begin.
func (c *coalescer) close() {
	c.end()
	c.turn <- struct{}{}
	<-c.turn
}
