package state

import (
	"context"
	"errors"
	"sync"
	"time"
)

// exchangePatience is how long an exchange with the server may take before the next one
// begins beside it: those who wait for that must not wait behind a server that hangs.
const exchangePatience = 250 * time.Millisecond

// exchanges lets calls at the same time share one exchange with the server. A call
// shares only one that begins after the call: an earlier one may not show what was
// committed in between. So there is one under way, and one that the others wait for.
type exchanges struct {
	mu sync.Mutex
	// next has not begun, last is the last one that has. Either may be nil.
	next, last *exchange
}

// An exchange ends when its work is done, or nobody waits for it any more.
type exchange struct {
	ctx    context.Context //nolint:containedctx // it is the one of all that wait, and ends with the last of them
	cancel context.CancelFunc
	// waiting is how many calls do. Guarded by the mu of exchanges.
	waiting int
	// done is closed when err is set.
	done chan struct{}
	err  error
}

// share calls do, once for all calls that wait for the same exchange, and returns its
// error, or that of ctx, which ends this wait only.
func (x *exchanges) share(ctx context.Context, do func(context.Context) error) error {
	e := x.join(do)
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		x.leave(e)
		return ctx.Err()
	}
}

func (x *exchanges) join(do func(context.Context) error) *exchange {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next == nil {
		x.next = &exchange{done: make(chan struct{})}
		x.next.ctx, x.next.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // it is for all that wait
		go x.run(x.next, x.last, do)
	}
	x.next.waiting++
	return x.next
}

func (x *exchanges) leave(e *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.waiting--; e.waiting == 0 {
		e.cancel()
		if x.next == e {
			x.next = nil
		}
	}
}

func (x *exchanges) run(e, before *exchange, do func(context.Context) error) {
	defer close(e.done)
	defer e.cancel()
	if before != nil {
		timer := time.NewTimer(exchangePatience)
		defer timer.Stop()
		select {
		case <-before.done:
		case <-timer.C:
		case <-e.ctx.Done():
		}
	}
	x.mu.Lock()
	if x.next == e {
		x.next = nil
	}
	x.last = e
	x.mu.Unlock()
	e.err = recovered(e.ctx, do)
}

// recovered makes a panic of do an error of its callers.
func recovered(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("an unexpected error occurred while the log was read")
		}
	}()
	return do(ctx)
}
