package vaultkv

import (
	"context"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// A coalescer runs one operation for many callers. Each run begins after the calls
// that it serves, so its outcome is valid for all of them. There is one run at a time,
// and at least gap between the beginnings of two runs. It is safe for concurrent use.
type coalescer struct {
	do    func(context.Context) *Error
	limit time.Duration
	gap   time.Duration

	mu            sync.Mutex
	running, next *run
	last          time.Time
	closed        bool
	group         sync.WaitGroup
}

// A run is one execution of the operation. problem is valid once done is closed.
type run struct {
	done    chan struct{}
	cancel  context.CancelFunc
	problem *Error
}

// join waits for the outcome of a run that begins after the call. ctx bounds the wait;
// limit bounds the run, which goes on for the other callers.
func (c *coalescer) join(ctx context.Context) *Error {
	r := c.enter(ctx)
	if r == nil {
		return interrupted("the service stops", context.Canceled)
	}
	select {
	case <-r.done:
		return r.problem
	case <-ctx.Done():
		return interrupted("there was no time to wait for the server to prove that it is current", ctx.Err())
	}
}

func interrupted(text string, cause error) *Error {
	problem := fail(StateUnreachable, 0, "%s", text)
	problem.cause, problem.inconclusive = cause, true
	return problem
}

// enter returns a run that has not begun, nil after close.
func (c *coalescer) enter(ctx context.Context) *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if c.next == nil {
		c.next = &run{done: make(chan struct{})}
		if c.running == nil {
			c.start(context.WithoutCancel(ctx))
			return c.running
		}
	}
	return c.next
}

// start begins the next run when the gap has passed. base is never canceled. The runs after
// this one begin with it too: with the context of this run, the contexts of a long series
// would become one chain. The caller holds mu.
func (c *coalescer) start(base context.Context) {
	r, wait := c.next, c.gap-time.Since(c.last)
	ctx, cancel := context.WithCancel(base)
	r.cancel = cancel
	c.running = r
	c.group.Go(func() {
		if wait > 0 {
			_ = backoff.Sleep(ctx, wait) // Callers that come meanwhile share this run.
		}
		c.mu.Lock()
		c.next, c.last = nil, time.Now()
		c.mu.Unlock()
		r.problem = c.execute(ctx)
		r.cancel()
		c.mu.Lock()
		c.running = nil
		if c.next != nil {
			c.start(base)
			if c.closed {
				c.running.cancel()
			}
		}
		c.mu.Unlock()
		close(r.done)
	})
}

func (c *coalescer) execute(ctx context.Context) (problem *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
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
	c.mu.Lock()
	c.closed = true
	if c.running != nil {
		c.running.cancel()
	}
	c.mu.Unlock()
	c.group.Wait()
}
