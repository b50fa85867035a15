package vaultkv

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
)

// A step is what the life of a token asks for next.
type step uint8

const (
	stepNone step = iota
	// stepLogIn gets a new token.
	stepLogIn
	// stepLook asks how long a token that was given has to live.
	stepLook
	stepRenew
)

const mayNotRenew = `the Vault token may not renew itself; add to one of its policies: path "auth/token/renew-self" { capabilities = ["update"] }`

const limitedToken = "the Vault token has a use limit (num_uses): each request takes one away, and then the server does not take it any more; give one without (`vault token create` without -use-limit), or configure a login"

// never is a wait that other events cut short.
const never = 24 * time.Hour

// plan says what to do now, or how long there is nothing to do.
func (s *session) plan(now time.Time) (step, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lease
	switch {
	case l.dead && s.login != nil && now.Before(s.notBefore):
		return stepNone, s.notBefore.Sub(now)
	case l.token == "", l.dead && s.login != nil:
		return stepLogIn, 0
	case l.dead, !l.known:
		// Whoever gave a token may also have brought it back to life.
		return stepLook, 0
	case l.ttl == 0:
		return stepNone, never
	case s.login != nil && l.renewable && l.final:
		// It was renewed for less than its full life. It stays in use until
		// there is another.
		return stepLogIn, 0
	}
	if rest := l.due - l.elapsed(now); rest > 0 {
		return stepNone, rest
	}
	switch {
	case l.renewable && (!l.final || l.remaining(now) > time.Second) && s.mayRenew(l):
		return stepRenew, 0
	case s.login != nil:
		return stepLogIn, 0
	}
	s.reportEnd(now)
	return stepNone, never
}

// mayRenew leaves out tokens whose renewal was refused. A given token that is
// near its max TTL is renewed all the same, for what there is left. The caller
// holds mu.
func (s *session) mayRenew(l lease) bool { return !l.final || s.login == nil && l.full > 0 }

// reportEnd says that a token that was given ends. The caller holds mu.
func (s *session) reportEnd(now time.Time) {
	at := s.lease.end()
	if s.lease.remaining(now) > 0 {
		s.report("vault token ends", "the Vault token ends at "+at+" and cannot be renewed; give another one, or configure a login")
		return
	}
	s.report("vault token ends", "the Vault token ended at "+at+"; give another one, or configure a login")
}

// keep keeps the token alive until ctx ends: it renews it, logs in again, and
// reads a token file again every poll.
func (s *session) keep(ctx context.Context, poll time.Duration) {
	var (
		rest  backoff
		until time.Time // no attempt before it, as long as the token is
		of    string
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		s.reload()
		s.revokeSuperseded(ctx)
		now := time.Now()
		if token := s.current(); token != of {
			rest, until, of = backoff{}, time.Time{}, token
		}
		next, wait := s.plan(now)
		switch {
		case next == stepNone:
		case now.Before(until):
			wait = until.Sub(now)
		default:
			problem := s.take(ctx, next)
			if problem != nil && next == stepRenew && s.replaces(problem) {
				next = stepLogIn
				problem = s.take(ctx, next)
			}
			if ctx.Err() != nil {
				return
			}
			s.note(next, problem)
			if problem == nil {
				rest, wait = backoff{}, 0
				// A server that grants next to nothing is not asked all the time.
				until = now.Add(firstPause / 2)
			} else {
				wait = rest.next()
				if left := s.untilLate(time.Now()); left > 0 {
					wait = min(wait, left)
				}
				until = time.Now().Add(wait)
			}
			of = s.current()
		}
		timer.Reset(min(s.lookInterval(poll), max(wait, 0)))
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-timer.C:
		}
	}
}

// lookInterval is the longest that keep waits: a token file may change, clocks
// may jump, and tokens that were replaced are to be revoked.
func (s *session) lookInterval(poll time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login == nil || len(s.superseded) > 0 {
		return poll
	}
	return 12 * poll
}

func (s *session) take(ctx context.Context, next step) *Error {
	switch next {
	case stepLogIn:
		problem, _ := s.logins.join(ctx, loginLimit, func() bool { return true }, s.logIn)
		return problem
	case stepLook:
		return s.look(ctx)
	case stepRenew:
		return s.renew(ctx)
	case stepNone:
	}
	return nil
}

// note logs trouble with the token once, and its end.
func (s *session) note(next step, problem *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case problem != nil && next == stepLogIn:
		s.report("vault login failed", problem.detail)
	case problem != nil:
		s.report("vault token not renewed", problem.detail)
	case s.trouble != "" && s.lease.known && !s.lease.final && !s.lease.limited:
		s.trouble = ""
		s.log.Info("vault token is renewed again")
	}
}

// renew asks for more life for the token. When the server does not give it, for
// certain, the plan changes; every other failure is a problem to be tried again.
func (s *session) renew(ctx context.Context) *Error {
	token := s.current()
	a, problem := s.post(ctx, token, "auth/token/renew-self", nil)
	var auth authAnswer
	switch {
	case problem != nil:
	case a.status == 200 && json.Unmarshal(a.Auth, &auth) == nil && auth.Lease > 0:
		s.change(token, func(l lease) lease { return l.granted(time.Now(), seconds(auth.Lease), auth.Renewable) })
	case a.status == 200 && len(a.Auth) > 0, (a.status == 400 || a.status == 404) && a.Errors != nil:
		problem = renewalRefused(a)
		s.change(token, lease.ended)
	case a.refusesRenewal():
		// The role or user may be mended before the token ends.
		problem = renewalRefused(a)
		if s.login == nil {
			problem.detail += s.untilWhen()
		}
	case a.status == 403 && a.Errors != nil:
		problem = s.renewalForbidden(ctx, token, a)
	default:
		problem = s.otherRefusal(ctx, a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if problem == nil {
		s.taken.Store(true)
		s.counts.renewals++
		s.log.Debug("vault token renewed", zap.Int64("ttl_seconds", auth.Lease))
		return nil
	}
	s.counts.failedRenewals++
	if s.login != nil && s.lease.final {
		s.log.Debug("vault token is not renewed any more, logging in again", zap.String("detail", problem.detail))
		return nil
	}
	return problem
}

// refusesRenewal says that the server does not renew a token, and that it is no
// matter of policies for the token itself.
func (a *answer) refusesRenewal() bool {
	// It has nothing to say of a user that was removed.
	return a.status == 204 || a.Errors != nil && (a.status == 400 || a.status == 404 || a.status == 500)
}

func renewalRefused(a *answer) *Error {
	why := "it is not renewable, or at its max TTL"
	switch {
	case a.errorSays("policies have changed"):
		why = "its role or user has got other policies"
	case a.status == 204, a.errorSays("does not exist"):
		why = "its role or user was removed"
	case a.status == 500:
		why = "see the server's log"
	}
	return fail(StateOK, a.status, "the server does not renew the Vault token (%d): %s", a.status, why)
}

// untilWhen ends the text about a given token that is not renewed.
func (s *session) untilWhen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "; it ends at " + s.lease.end() + ": give another one, or configure a login"
}

// end is when the token ends, in words.
func (l lease) end() string { return l.at.Add(l.ttl).UTC().Format(time.RFC3339) }

// replaces says whether a login takes the place of a renewal that failed: if the
// server refused it in a manner that it seldom takes back, and whatever the reason
// if the token ends soon.
func (s *session) replaces(renewal *Error) bool {
	if s.login == nil {
		return false
	}
	return renewal.Status == 204 || renewal.Status == 500 || s.untilLate(time.Now()) <= 0
}

// untilLate is how long it is until a renewal that fails may not be waited for any
// more.
func (s *session) untilLate(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease.ttl/6*5 - s.lease.elapsed(now)
}

// ended is l when it will not be renewed.
func (l lease) ended() lease {
	l.renewable, l.final = false, true
	return l
}

func (s *session) renewalForbidden(ctx context.Context, token string, a *answer) *Error {
	switch s.judge(ctx, token, a) {
	case tokenDead:
		s.change(token, func(l lease) lease {
			l = l.ended()
			l.dead = true
			return l
		})
		return s.home.deadToken()
	case tokenAlive:
		if s.login != nil {
			// A new token is had more easily than another policy. Where one was
			// given, the policy may be mended before it ends.
			s.change(token, lease.ended)
		}
		problem := fail(StateOK, a.status, "%s", mayNotRenew)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.report("vault token not renewed", problem.detail)
		return problem
	case tokenUnsure:
	}
	return s.home.unexplained()
}

// change changes what is known of a token, if it is still the one in use.
func (s *session) change(token string, to func(lease) lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.token == token {
		s.lease = to(s.lease)
	}
}

// look asks how long the token has to live.
func (s *session) look(ctx context.Context) *Error {
	token := s.current()
	a, problem := s.lookUp(ctx, token)
	var self selfAnswer
	switch {
	case problem != nil:
		return problem
	case a.status == 200 && json.Unmarshal(a.Data, &self) == nil:
		s.change(token, func(l lease) lease {
			l.batch, l.dead, l.full, l.limited = self.Type == "batch", false, 0, self.Uses != 0
			ttl := seconds(self.TTL)
			if ttl == 0 && self.Expires != nil {
				ttl = time.Nanosecond // it ends just now
			}
			return l.granted(time.Now(), ttl, self.Renewable)
		})
		if self.Uses != 0 {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.report("vault token ends", limitedToken)
		}
		return nil
	case a.status == 403 && a.denies():
		return fail(StateOK, a.status, `the Vault token may not look at itself, so its end is not known and it is not renewed; add to one of its policies: path "auth/token/lookup-self" { capabilities = ["read"] }`)
	case a.status == 403 && a.Errors != nil:
		return s.home.deadToken()
	case a.status == 200, a.status == 404:
		return s.home.notVault(a)
	}
	return s.otherRefusal(ctx, a)
}

// lookUp asks the server about a token.
func (s *session) lookUp(ctx context.Context, token string) (*answer, *Error) {
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().ReadRawWithContext(ctx, "auth/token/lookup-self")
	})
}

// revokeSuperseded revokes the tokens of ours that no request carries any more.
func (s *session) revokeSuperseded(ctx context.Context) {
	for {
		s.mu.Lock()
		if len(s.superseded) == 0 || time.Since(s.superseded[0].at) <= 2*s.home.cfg.Timeout {
			s.mu.Unlock()
			return
		}
		token := s.superseded[0].token
		s.superseded = s.superseded[1:]
		s.mu.Unlock()
		// It ends by itself where this fails. The others wait until the server
		// answers again: the token in use must not wait for them.
		if _, problem := s.post(ctx, token, "auth/token/revoke-self", nil); problem != nil {
			return
		}
	}
}

// end lets no login begin any more and revokes what we logged in for. A token
// that was given is somebody else's to revoke. The first failure is returned; the
// token then ends by itself.
func (s *session) end(ctx context.Context) (first *Error) {
	s.logins.close()
	s.lookups.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	s.mu.Lock()
	l, all := s.lease, s.superseded
	s.superseded = nil
	s.mu.Unlock()
	if l.own && !l.batch && !l.expired(time.Now()) {
		// It has the longest to live, so it goes first.
		all = append([]superseded{{token: l.token}}, all...)
	}
	for _, t := range all {
		a, problem := s.post(ctx, t.token, "auth/token/revoke-self", nil)
		if problem == nil && a.status == 403 && a.denies() {
			problem = fail(StateOK, a.status, `the Vault token may not revoke itself, so it lives on after a stop; add to one of its policies: path "auth/token/revoke-self" { capabilities = ["update"] }`)
		}
		if problem != nil && first == nil {
			first = problem
		}
	}
	return first
}

// Stop ends what was begun without [Vault.Run]: it revokes a token that we logged
// in for and closes the connections. An error says why the token lives on.
func (v *Vault) Stop(ctx context.Context) error {
	defer v.closeIdle()
	if v.guest {
		return nil
	}
	if problem := v.session.end(ctx); problem != nil {
		return problem
	}
	return nil
}
