package login

import (
	"context"
	"sync"
	"time"
)

// A call runs a function at most once at a time; callers that come while it runs
// share its outcome. The function goes on when its callers give up: a login that is
// half done may have used up a secret id. The zero value is ready to use.
type call struct {
	mu      sync.Mutex
	current *running
	closed  bool
	group   sync.WaitGroup
}

type running struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error
}

// join waits for the outcome of the running function. If none runs, it starts do,
// provided that start returns true. ran is false if do neither ran nor was started.
// limit bounds the function; ctx bounds the wait only.
func (c *call) join(ctx context.Context, limit time.Duration, start func() bool, do func(context.Context) error) (ran bool, err error) {
	c.mu.Lock()
	current := c.current
	if current == nil {
		if c.closed || !start() {
			c.mu.Unlock()
			return false, nil
		}
		current = c.run(ctx, limit, do)
	}
	c.mu.Unlock()
	select {
	case <-current.done:
		return true, current.err
	case <-ctx.Done():
		return true, &Error{Reason: Interrupted, text: "there was no time to wait for the login or its check", cause: ctx.Err()}
	}
}

// run starts do. The caller holds mu.
func (c *call) run(ctx context.Context, limit time.Duration, do func(context.Context) error) *running {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	current := &running{done: make(chan struct{}), cancel: cancel}
	c.current = current
	c.group.Go(func() {
		defer func() {
			if recover() != nil {
				current.err = fail(Failed, 0, "logging in failed within this program; please report it")
			}
			cancel()
			c.mu.Lock()
			c.current = nil
			c.mu.Unlock()
			close(current.done)
		}()
		current.err = do(ctx)
	})
	return current
}

// close cancels the running function, waits for it, and lets no other start.
func (c *call) close() {
	c.mu.Lock()
	c.closed = true
	if c.current != nil {
		c.current.cancel()
	}
	c.mu.Unlock()
	c.group.Wait()
}
