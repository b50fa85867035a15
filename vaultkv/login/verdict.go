package login

import (
	"context"
	"time"
)

// A 403 is about our own token and never about the client of a request: either the
// server does not accept the token, or the token's policies do not cover the request.
// Only the server can tell which, so it is asked; once for the many requests that get
// a 403 at the same time.

// A Verdict says what is known of a token after a 403.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota
	// Valid: the server accepts the token, and its policies deny the request.
	Valid
	Invalid
)

// verdictAge is how long a verdict is reused.
const verdictAge = time.Second

type remembered struct {
	token   string
	at      time.Time
	verdict Verdict
}

// Judge finds out why the server answered 403, in a, to a request with the current
// token.
func (s *Session) Judge(ctx context.Context, a *Answer) Verdict { return s.judge(ctx, s.Token(), a) }

func (s *Session) judge(ctx context.Context, token string, a *Answer) Verdict {
	if a.Errors == nil {
		// Something other than Vault refuses.
		return Unknown
	}
	if a.Says(invalidToken) {
		s.remember(token, Invalid)
		return Invalid
	}
	if v, known := s.recall(token); known {
		return v
	}
	_, _ = s.lookups.join(ctx, s.cfg.Timeout, func() bool { return true }, func(ctx context.Context) error {
		// Another request may have found out between recall and join.
		if _, known := s.recall(token); !known {
			s.remember(token, s.lookUpVerdict(ctx, token))
		}
		return nil
	})
	v, _ := s.recall(token)
	return v
}

// lookUpVerdict lets the token look itself up.
func (s *Session) lookUpVerdict(ctx context.Context, token string) Verdict {
	a, err := s.lookUp(ctx, token)
	switch {
	case err != nil:
		return Unknown
	case a.Status == 200, a.Status == 403 && a.PolicyDenies():
		return Valid
	case a.Status == 403 && a.Errors != nil:
		return Invalid
	}
	return Unknown
}

func (s *Session) recall(token string) (v Verdict, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verdict.token != token || time.Since(s.verdict.at) > verdictAge {
		return Unknown, false
	}
	return s.verdict.verdict, true
}

func (s *Session) remember(token string, v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.verdict = remembered{token, now, v}
	if s.lease.token != token || s.cfg.Agent {
		return
	}
	if v == Valid {
		s.accepted.Store(true)
	}
	if v == Invalid && !s.lease.dead {
		s.lease.dead = true
		if s.accepted.Load() {
			s.unfit.Reset()
			s.notBefore = time.Time{}
		} else {
			s.notBefore = now.Add(s.unfit.Next())
		}
		s.wake()
	}
}

// Rejection explains that the server does not accept the current token.
func (s *Session) Rejection() error {
	s.mu.Lock()
	failed, limited := s.failed, s.lease.limited
	s.mu.Unlock()
	switch {
	case s.cfg.Agent:
		return fail(Rejected, 403, "the server does not accept the Vault token that the agent at %s adds, or the agent adds none; see the log of the agent, and set use_auto_auth_token in its api_proxy", s.cfg.Address)
	case s.cfg.Method != nil && failed != nil:
		return fail(Rejected, 403, "the server does not accept the Vault token any more, and there is no new one: %s", lasting(failed))
	case s.cfg.Method != nil && !s.accepted.Load():
		return fail(Rejected, 403, "the server does not accept the Vault tokens that the login gives; if the role binds them to other addresses than ours (token_bound_cidrs), correct that")
	case s.cfg.Method != nil:
		return fail(Rejected, 403, "the server does not accept the Vault token that the login gave: it has expired or was revoked; a new login follows")
	}
	why, another := "it has expired, was revoked, is of another namespace, is bound to other addresses, or had a use limit", "a new one"
	if limited {
		why, another = "it had a use limit (num_uses) and is used up, or has expired or was revoked", "one without a use limit"
	}
	if s.cfg.TokenFile != "" {
		return fail(Rejected, 403, "the server does not accept the Vault token in %q: %s; put %s there", s.cfg.TokenFile, why, another)
	}
	return fail(Rejected, 403, "the server does not accept the Vault token: %s; configure %s", why, another)
}
