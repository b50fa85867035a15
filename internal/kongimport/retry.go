package kongimport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// patience is for how long nothing may be made before Make gives up.
	patience = time.Minute
	// firstPause is about how long the first pause takes; each is twice the one
	// before, up to longestPause.
	firstPause   = 500 * time.Millisecond
	longestPause = 8 * time.Second
)

// A Reporter is told how it goes.
type Reporter interface {
	// Made says that n more are made.
	Made(n int)
	// Waiting says that it is tried again after a pause, and why.
	Waiting(why error, pause time.Duration)
}

// Make is Apply, and goes on where the service was not able to answer for a while, as
// when Vault changes its leader: it asks for what there is, since a call without an
// answer may have taken effect, and makes what is missing then. It gives up when for a
// minute nothing could be made.
func (c *Changes) Make(ctx context.Context, client *api.Client, f *File, r Reporter) {
	c.Apply(ctx, client, r.Made)
	pause, last := firstPause, time.Now()
	for why := c.passing(); why != nil && time.Since(last) < patience; {
		wait := backoff.Jitter(pause/2, pause)
		r.Waiting(why, wait)
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
		pause = min(2*pause, longestPause)
		have, err := Read(ctx, client)
		switch {
		case err != nil && passing(err):
			why = err
			continue
		case err != nil:
			return
		}
		again := Plan(f, have)
		again.Apply(ctx, client, func(int) {})
		if n := c.takeOver(again); n > 0 {
			r.Made(n)
			pause, last = firstPause, time.Now()
		}
		why = c.passing()
	}
}

// Await is Read, and waits for up to a minute for a service that is there and cannot
// answer. One that is not there is an error at once: the URL may be wrong.
func Await(ctx context.Context, client *api.Client, r Reporter) (*Existing, error) {
	for pause, began := firstPause, time.Now(); ; pause = min(2*pause, longestPause) {
		have, err := Read(ctx, client)
		var p *api.Problem
		if !errors.As(err, &p) || !passing(err) || time.Since(began) >= patience {
			return have, err
		}
		wait := backoff.Jitter(pause/2, pause)
		r.Waiting(err, wait)
		if backoff.Sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

// takeOver takes what became of the steps that failed from another plan of the same
// file, which has the same steps in the same order, and returns how many are made by now.
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

// passing is the failure of a step that another try may mend, nil if there is none.
func (c *Changes) passing() error {
	for i := range c.Steps {
		if err := c.Steps[i].failure; err != nil && passing(err) {
			return err
		}
	}
	return nil
}

// passing says whether a call may do better in a moment: the service, or Vault behind
// it, is not there, or has too much to do.
func passing(err error) bool {
	var p *api.Problem
	if errors.As(err, &p) {
		switch p.Status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var network *net.OpError
	var slow net.Error
	return errors.As(err, &network) || errors.As(err, &slow) && slow.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
