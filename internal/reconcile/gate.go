package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A Gate decides only while the state is known to be current. After the process was
// stopped or starved for a while it first waits for the changes that were made meanwhile.
type Gate struct {
	decider *authz.Authorizer
	// current waits until no change can have been missed.
	current func(context.Context) error
	// past is a context that has ended, for calling current without waiting.
	past context.Context
}

// NewGate returns a Gate before the decisions of decider. ask waits until no change can have been
// missed.
func NewGate(decider *authz.Authorizer, ask func(context.Context) error) Gate {
	past, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // it is over before it begins
	cancel()
	return Gate{decider: decider, current: ask, past: past}
}

// Check decides about a request, see [authz.Authorizer.Check].
func (c Gate) Check(ctx context.Context, r *authz.Request) authz.Decision {
	if err := c.wait(ctx); err != nil {
		return authz.Decision{
			Reason: authz.ReasonUnavailable,
			Err:    fmt.Errorf("%w: waiting for changes that may have been missed: %w", authz.ErrUnavailable, err),
		}
	}
	return c.decider.Check(ctx, r)
}

// wait waits until the state is current, for at most three quarters of the time that the
// caller has left: the rest is for the answer.
func (c Gate) wait(ctx context.Context) error {
	if c.Open() {
		return nil
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/4))
		defer cancel()
	}
	return c.current(ctx)
}

// Open says whether the state is known to be current now.
func (c Gate) Open() bool { return c.current(c.past) == nil }
