package login

import (
	"context"
	"time"
)

// Life is what is known of the token of a session.
type Life struct {
	// Method is "token" for a given token, "agent" if an agent adds it, else the name
	// of the auth method.
	Method string
	// Known is set once the server has said how long the token lives. Then either
	// Forever is set, or Remaining is the time left, 0 once the token has ended.
	Known, Forever bool
	Remaining      time.Duration
	// Limited is set for a token with a use limit.
	Limited bool
	// The logins and renewals since the start that succeeded and failed.
	Logins, FailedLogins, Renewals, FailedRenewals uint64
	// Trouble is why the token cannot be kept alive, empty if it can.
	Trouble string
}

// methodAgent is the Life.Method of a token that an agent adds.
const methodAgent = "agent"

// Life reports on the token without asking the server.
func (s *Session) Life() Life {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	life := Life{
		Method: "token", Known: s.lease.known, Forever: s.lease.known && s.lease.ttl == 0, Limited: s.lease.limited,
		Logins: s.counts.logins, FailedLogins: s.counts.failedLogins,
		Renewals: s.counts.renewals, FailedRenewals: s.counts.failedRenewals,
		Trouble: s.trouble,
	}
	switch {
	case s.cfg.Method != nil:
		life.Method = s.cfg.Method.Name()
	case s.cfg.Agent:
		life.Method = methodAgent
	}
	if life.Known && !life.Forever && !s.lease.dead {
		life.Remaining = s.lease.remaining(now)
	}
	return life
}

// noToken is a token that no server accepts.
const noToken = "vault-authz-asks-whether-tokens-are-replaced"

// Check asks the server for what keeping the token alive needs: that the token may
// look itself up and renew itself, and has no use limit. It logs in if necessary, and
// renews the token. The mistakes that it finds do not prevent reads now. The token of
// an agent is kept by the agent; Check reports an agent that overwrites the tokens of
// requests.
func (s *Session) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	if s.cfg.Agent {
		if s.lookUpVerdict(ctx, noToken) == Valid {
			return fail(Rejected, 0, "the agent at %s replaces the Vault token of every request with its own, so that everyone who may make vault objects through the admin API has its rights; set use_auto_auth_token in its api_proxy to true instead of \"force\"", s.cfg.Address)
		}
		return nil
	}
	if err := s.Ready(ctx); err != nil {
		return err
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	l := s.lease
	s.mu.Unlock()
	switch {
	case l.limited:
		// Each request uses up one more.
		return fail(Rejected, 0, "%s", limitedToken)
	case !l.renewable || l.ttl == 0:
		return nil
	}
	a, err := s.post(ctx, l.token, renewSelf, nil)
	switch {
	case err != nil:
		return err
	case a.Status == 403 && a.PolicyDenies():
		return fail(NotKept, a.Status, "%s", mayNotRenew)
	case a.refusesRenewal():
		return a.renewalError()
	}
	return nil
}
