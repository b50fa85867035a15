package vaultkv

import (
	"context"
	"time"
)

// TokenLife is what is known of the Vault token of a vault object.
type TokenLife struct {
	// Method is how it was got: token where it was given, agent where an agent adds
	// it, else the auth method.
	Method string
	// Known is set when the server has told how long it lives; Forever when it
	// does not end; else Remaining is what is left, 0 once it has ended.
	Known, Forever bool
	Remaining      time.Duration
	// Limited is set for a token that is good for a number of requests only.
	Limited bool
	// Logins and Renewals that succeeded and failed, since the start.
	Logins, FailedLogins, Renewals, FailedRenewals uint64
	// Trouble is what keeps the token from being kept alive, empty for none.
	Trouble string
}

// noToken is a token that no server takes.
const noToken = "vault-authz-asks-whether-tokens-are-replaced"

// methodAgent is the method of a token that an agent looks after.
const methodAgent = "agent"

// TokenLife reports on the token, without asking the server.
func (v *Vault) TokenLife() TokenLife { return v.session.life(time.Now()) }

func (s *session) life(now time.Time) TokenLife {
	s.mu.Lock()
	defer s.mu.Unlock()
	life := TokenLife{
		Method: "token", Known: s.lease.known, Forever: s.lease.known && s.lease.ttl == 0, Limited: s.lease.limited,
		Logins: s.counts.logins, FailedLogins: s.counts.failedLogins,
		Renewals: s.counts.renewals, FailedRenewals: s.counts.failedRenewals,
		Trouble: s.trouble,
	}
	switch {
	case s.login != nil:
		life.Method = s.login.Method()
	case s.home.cfg.Agent:
		life.Method = methodAgent
	}
	if life.Known && !life.Forever && !s.lease.dead {
		life.Remaining = s.lease.remaining(now)
	}
	return life
}

// CheckToken asks the server for what keeping the token alive needs: that the
// token may look at itself and renew itself, and is good for any number of
// requests. It logs in if that has not been done, and renews the token. The
// mistakes that it finds do not keep credentials from being read now. A token that an
// agent adds is the agent's to keep; the agent must not add it where there is one.
func (v *Vault) CheckToken(ctx context.Context) error {
	s := v.session
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	if v.cfg.Agent {
		if s.askAbout(ctx, noToken) == tokenAlive {
			return fail(StateTokenRejected, 0, "the agent at %s puts its Vault token in the place of others: whoever may make vault objects through the admin API has its rights; set use_auto_auth_token in its api_proxy to true instead of \"force\"", v.cfg.Address)
		}
		return nil
	}
	if problem := s.ready(ctx); problem != nil {
		return problem
	}
	if problem := s.look(ctx); problem != nil {
		return problem
	}
	s.mu.Lock()
	l := s.lease
	s.mu.Unlock()
	switch {
	case l.limited:
		// Each request leaves one less.
		return fail(StateTokenRejected, 0, "%s", limitedToken)
	case !l.renewable || l.ttl == 0:
		return nil
	}
	a, problem := s.post(ctx, s.current(), "auth/token/renew-self", nil)
	switch {
	case problem != nil:
		return problem
	case a.status == 403 && a.denies():
		return fail(StateOK, a.status, "%s", mayNotRenew)
	case a.refusesRenewal():
		return renewalRefused(a)
	}
	return nil
}
