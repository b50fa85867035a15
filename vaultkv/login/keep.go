package login

import (
	"context"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// A step is the next thing to do to keep the token alive.
type step uint8

const (
	stepNone step = iota
	// stepLogIn gets a new token.
	stepLogIn
	// stepLook asks how long a given token lives.
	stepLook
	stepRenew
)

// never is a wait that only other events end.
const never = 24 * time.Hour

// plan returns the next step, or how long there is nothing to do.
func (s *Session) plan(now time.Time) (step, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, logsIn := s.lease, s.cfg.Method != nil
	switch {
	case l.dead && logsIn && now.Before(s.notBefore):
		return stepNone, s.notBefore.Sub(now)
	case l.token == "", l.dead && logsIn:
		return stepLogIn, 0
	case l.dead, !l.known:
		// A given token that the server rejected may become valid again.
		return stepLook, 0
	case l.ttl == 0:
		return stepNone, never
	case logsIn && l.renewable && l.final:
		// The renewal granted less than the full life. The token stays in use until
		// there is another.
		return stepLogIn, 0
	}
	if rest := l.due - l.elapsed(now); rest > 0 {
		return stepNone, rest
	}
	switch {
	case l.renewable && (!l.final || l.remaining(now) > time.Second) && s.mayRenew(l):
		return stepRenew, 0
	case logsIn:
		return stepLogIn, 0
	}
	s.reportEnd(now)
	return stepNone, never
}

// mayRenew is false for tokens whose renewal was refused. A given token near its max
// TTL is renewed for the time that is left. The caller holds mu.
func (s *Session) mayRenew(l lease) bool { return !l.final || s.cfg.Method == nil && l.full > 0 }

// reportEnd logs that a given token ends. The caller holds mu.
func (s *Session) reportEnd(now time.Time) {
	at := s.lease.end()
	if s.lease.remaining(now) > 0 {
		s.report("vault token ends", "the Vault token ends at "+at+" and cannot be renewed; give another one, or configure a login")
		return
	}
	s.report("vault token ends", "the Vault token ended at "+at+"; give another one, or configure a login")
}

// Keep keeps the token alive until ctx ends: it renews the token, logs in again, and
// reads a token file again every poll. It does nothing for an agent's token.
func (s *Session) Keep(ctx context.Context, poll time.Duration) {
	if s.cfg.Agent {
		return
	}
	var (
		waits = backoff.Exponential{First: firstWait, Max: maxWait}
		until time.Time // There is no attempt before it, as long as the token is the same.
		of    string
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		s.reload()
		s.revokeSuperseded(ctx)
		now := time.Now()
		if token := s.Token(); token != of {
			waits.Reset()
			until, of = time.Time{}, token
		}
		next, wait := s.plan(now)
		switch {
		case next == stepNone:
		case now.Before(until):
			wait = until.Sub(now)
		default:
			err := s.do(ctx, next, of)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				waits.Reset()
				// A server that grants next to nothing is not asked all the time.
				wait, until = 0, now.Add(firstWait/2)
			} else {
				wait = waits.Next()
				if left := s.untilLate(time.Now()); left > 0 {
					wait = min(wait, left)
				}
				until = time.Now().Add(wait)
			}
			of = s.Token()
		}
		timer.Reset(min(s.pollInterval(poll), max(wait, 0)))
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-timer.C:
		}
	}
}

// pollInterval is the longest wait of Keep: a token file may change, clocks may jump,
// and replaced tokens are to be revoked.
func (s *Session) pollInterval(poll time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Method == nil || len(s.superseded) > 0 {
		return poll
	}
	return 12 * poll
}

// do performs a step for the given token and logs its outcome.
func (s *Session) do(ctx context.Context, next step, token string) (err error) {
	switch next {
	case stepRenew:
		var refused bool
		if refused, err = s.renew(ctx); err == nil || !s.mustLogIn(refused) {
			break
		}
		next = stepLogIn
		fallthrough
	case stepLogIn:
		// A request may have logged in meanwhile.
		same := func() bool { return s.Token() == token }
		_, err = s.logins.join(ctx, loginLimit, same, s.logIn)
	case stepLook:
		err = s.look(ctx)
	case stepNone:
	}
	if ctx.Err() == nil {
		s.logOutcome(next, err)
	}
	return err
}

// mustLogIn reports whether a login follows a renewal that failed: if the server
// refused it in a way that it rarely takes back, or for any reason if the token ends
// soon.
func (s *Session) mustLogIn(refused bool) bool {
	return s.cfg.Method != nil && (refused || s.untilLate(time.Now()) <= 0)
}

// untilLate is the time that is left to try failed renewals again.
func (s *Session) untilLate(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease.ttl/6*5 - s.lease.elapsed(now)
}

// logOutcome logs trouble with the token once, and the end of the trouble.
func (s *Session) logOutcome(next step, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && next == stepLogIn:
		s.report("vault login failed", lasting(err))
	case err != nil:
		s.report("vault token not renewed", lasting(err))
	case s.trouble != "" && s.lease.known && !s.lease.final && !s.lease.limited:
		s.trouble = ""
		s.log.Info("vault token is renewed again")
	}
}
