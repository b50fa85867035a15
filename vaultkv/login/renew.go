package login

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"
)

const mayNotRenew = `the Vault token may not renew itself; add to one of its policies: path "auth/token/renew-self" { capabilities = ["update"] }`

const limitedToken = "the Vault token has a use limit (num_uses): each request takes one away, and then the server does not accept it any more; give one without (`vault token create` without -use-limit), or configure a login"

// renew asks for a longer life of the token. If the server certainly refuses that, the
// plan changes; every other failure is returned, to be tried again. refused reports a
// refusal that the server rarely takes back.
func (s *Session) renew(ctx context.Context) (refused bool, err error) {
	token := s.Token()
	a, err := s.post(ctx, token, renewSelf, nil)
	var auth authAnswer
	switch {
	case err != nil:
	case a.Status == 200 && json.Unmarshal(a.Auth, &auth) == nil && auth.Lease > 0:
		s.change(token, func(l lease) lease { return l.granted(time.Now(), seconds(auth.Lease), auth.Renewable) })
	case a.Status == 200 && len(a.Auth) > 0, (a.Status == 400 || a.Status == 404) && a.Errors != nil:
		err = a.renewalError()
		s.change(token, lease.ended)
	case a.refusesRenewal():
		// The role or the user may be corrected before the token ends.
		refusal := a.renewalError()
		if s.cfg.Method == nil {
			refusal.text += s.untilWhen()
		}
		err = refusal
	case a.Status == 403 && a.Errors != nil:
		err = s.renewalForbidden(ctx, token, a)
	default:
		err = a.Explain(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.accepted.Store(true)
		s.counts.renewals++
		s.log.Debug("vault token renewed", zap.Int64("ttl_seconds", auth.Lease))
		return false, nil
	}
	s.counts.failedRenewals++
	if s.cfg.Method != nil && s.lease.final {
		s.log.Debug("vault token is not renewed any more, logging in again", zap.String("detail", lasting(err)))
		return false, nil
	}
	return a != nil && (a.Status == 204 || a.Status == 500), err
}

// refusesRenewal reports whether the server refuses to renew a token for a reason
// other than the token's policies. The answer about a user that was removed has no
// body.
func (a *Answer) refusesRenewal() bool {
	return a.Status == 204 || a.Errors != nil && (a.Status == 400 || a.Status == 404 || a.Status == 500)
}

func (a *Answer) renewalError() *Error {
	why := "it is not renewable, or at its max TTL"
	switch {
	case a.Says("policies have changed"):
		why = "its role or user has got other policies"
	case a.Status == 204, a.Says("does not exist"):
		why = "its role or user was removed"
	case a.Status == 500:
		why = "see the server's log"
	}
	return fail(NotKept, a.Status, "the server does not renew the Vault token (%d): %s", a.Status, why)
}

// untilWhen is the end of an error about a given token that is not renewed.
func (s *Session) untilWhen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "; it ends at " + s.lease.end() + ": give another one, or configure a login"
}

func (s *Session) renewalForbidden(ctx context.Context, token string, a *Answer) error {
	switch s.judge(ctx, token, a) {
	case Invalid:
		s.change(token, func(l lease) lease {
			l = l.ended()
			l.dead = true
			return l
		})
		return s.Rejection()
	case Valid:
		if s.cfg.Method != nil {
			// Logging in again is easier than changing a policy. For a given token the
			// policy may be corrected before the token ends.
			s.change(token, lease.ended)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.report("vault token not renewed", mayNotRenew)
		return fail(NotKept, a.Status, "%s", mayNotRenew)
	case Unknown:
	}
	return fail(NotKept, a.Status, "the server refuses our Vault token for this (403)")
}

// change changes the lease if token is still the current one.
func (s *Session) change(token string, to func(lease) lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.token == token {
		s.lease = to(s.lease)
	}
}

// look asks how long the token lives.
func (s *Session) look(ctx context.Context) error {
	token := s.Token()
	a, err := s.lookUp(ctx, token)
	var self selfAnswer
	switch {
	case err != nil:
		return err
	case a.Status == 200 && json.Unmarshal(a.Data, &self) == nil:
		s.change(token, func(l lease) lease {
			l.batch, l.dead, l.full, l.limited = self.Type == "batch", false, 0, self.Uses != 0
			ttl := seconds(self.TTL)
			if ttl == 0 && self.Expires != nil {
				ttl = time.Nanosecond // It ends just now.
			}
			return l.granted(time.Now(), ttl, self.Renewable)
		})
		if self.Uses != 0 {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.report("vault token ends", limitedToken)
		}
		return nil
	case a.Status == 403 && a.PolicyDenies():
		return fail(NotKept, a.Status, `the Vault token may not look at itself, so its end is not known and it is not renewed; add to one of its policies: path "auth/token/lookup-self" { capabilities = ["read"] }`)
	case a.Status == 403 && a.Errors != nil:
		return s.Rejection()
	}
	return a.Explain(ctx)
}
