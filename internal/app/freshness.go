package app

import (
	"context"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
)

// current decides only by what is known to be current: after this process was
// stopped for a while, or starved, it first waits for the changes that were made
// meanwhile.
type freshnessGate struct {
	decider envoy.Decider
	// current returns at once where nothing can have been missed.
	current func(context.Context) error
	// past is a context that has ended, to ask with without waiting.
	past context.Context
}

func newFreshnessGate(decider envoy.Decider, ask func(context.Context) error) freshnessGate {
	past, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // it is over before it begins
	cancel()
	return freshnessGate{decider: decider, current: ask, past: past}
}

// Check implements [envoy.Decider].
func (c freshnessGate) Check(ctx context.Context, r *authz.Request) authz.Decision {
	if err := c.wait(ctx); err != nil {
		return authz.Decision{
			Reason: authz.ReasonUnavailable, RetryAfter: time.Second,
			Err: fmt.Errorf("%w: waiting for changes that may have been missed: %w", authz.ErrUnavailable, err),
		}
	}
	return c.decider.Check(ctx, r)
}

// wait leaves a quarter of the time that the caller has, to answer in.
func (c freshnessGate) wait(ctx context.Context) error {
	if c.current(c.past) == nil { //nolint:contextcheck // not to wait is the point
		return nil
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/4))
		defer cancel()
	}
	return c.current(ctx)
}
