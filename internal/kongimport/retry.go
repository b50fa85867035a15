package kongimport

import (
	"context"
	"errors"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// patience is the time without progress after which Make gives up.
	patience = time.Minute
	// firstPause is the longest first pause. Each pause is about twice the one before, up to
	// longestPause.
	firstPause   = 500 * time.Millisecond
	longestPause = 8 * time.Second
)

// A Reporter reports progress.
type Reporter interface {
	// Made reports that n more entities were made.
	Made(n int)
	// Waiting reports a pause before the next attempt, and its reason.
	Waiting(why error, pause time.Duration)
}

// Make is Apply with retries, for a service that cannot answer for a while, as when Vault
// elects a leader. Before each retry it reads the existing entities, since a call without
// an answer may have taken effect, and makes the missing ones. It gives up after a minute
// without progress.
func (c *Changes) Make(ctx context.Context, client *api.Client, f *File, r Reporter) {
	c.Apply(ctx, client, r.Made)
	pauses, last := backoff.Exponential{First: firstPause, Max: longestPause}, time.Now()
	for why := c.transient(); why != nil && time.Since(last) < patience; {
		if wait(ctx, &pauses, r, why) != nil {
			return
		}
		have, err := Read(ctx, client)
		switch {
		case err != nil && api.Transient(err):
			why = err
			continue
		case err != nil:
			return
		}
		again := Plan(f, have)
		again.Apply(ctx, client, func(int) {})
		if n := c.takeOver(again); n > 0 {
			r.Made(n)
			last = time.Now()
			pauses.Reset()
		}
		why = c.transient()
	}
}

// Await is Read that waits for up to a minute while the service answers that it is
// unavailable. A service that does not answer at all is an error at once: the URL may be
// wrong.
func Await(ctx context.Context, client *api.Client, r Reporter) (*Existing, error) {
	pauses, began := backoff.Exponential{First: firstPause, Max: longestPause}, time.Now()
	for {
		have, err := Read(ctx, client)
		var p *api.Problem
		if !errors.As(err, &p) || !api.Transient(err) || time.Since(began) >= patience {
			return have, err
		}
		if wait(ctx, &pauses, r, err) != nil {
			return nil, err
		}
	}
}

// wait waits before the next attempt, and reports why. It returns an error if ctx ends.
func wait(ctx context.Context, pauses *backoff.Exponential, r Reporter, why error) error {
	pause := pauses.Next()
	r.Waiting(why, pause)
	return backoff.Sleep(ctx, pause)
}

// takeOver replaces the failed steps by those of another plan of the same file, which has
// the same steps in the same order, and returns how many of them are made.
func (c *Changes) takeOver(again *Changes) int {
	made := 0
	for i := range c.Steps {
		if c.Steps[i].Action != Failed {
			continue
		}
		s := again.Steps[i]
		if s.Action == Equal {
			s.Action = Created // by a call whose answer was lost
		}
		if s.Action == Created {
			made++
		}
		c.Steps[i] = s
	}
	return made
}

// transient returns the first failure of a step that a retry may overcome, nil for none.
func (c *Changes) transient() error {
	for i := range c.Steps {
		if err := c.Steps[i].failure; err != nil && api.Transient(err) {
			return err
		}
	}
	return nil
}
