package login

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// loginLimit bounds a login, which may take several requests.
	loginLimit = 15 * time.Second
	// demandInterval is the least time between two logins that refused requests ask
	// for. It grows up to maxDemandInterval while new tokens are refused too.
	demandInterval    = time.Second
	maxDemandInterval = 30 * time.Second
)

// Ready waits until there is a token, and logs in if that has not been done. It
// returns nil if requests can be sent.
func (s *Session) Ready(ctx context.Context) error {
	if s.cfg.Agent || s.Token() != "" {
		return nil
	}
	ran, err := s.logins.join(ctx, loginLimit, s.mayLogIn, s.logIn)
	if err != nil || s.Token() != "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ran && s.failed != nil {
		return s.failed
	}
	return fail(NoToken, 0, "there is no Vault token: the vault object is not logged in")
}

// mayLogIn reports whether a request may ask for a login now. The rate is limited,
// however many requests are refused.
func (s *Session) mayLogIn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.attempted) >= demandInterval && !time.Now().Before(s.notBefore)
}

// mayLogInAgain is mayLogIn for a token that the server accepts and whose policies
// deny the request. A new login helps if the role has got other policies, and does not
// help otherwise; so the logins become rarer.
func (s *Session) mayLogInAgain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := time.Since(s.attempted)
	if since < max(demandInterval, s.demand) {
		return false
	}
	if since > 2*maxDemandInterval {
		s.demand = 0
	}
	s.demand = min(maxDemandInterval, max(2*demandInterval, 2*s.demand))
	return true
}

// Replace gets another token after the server answered 403, in a, to a request with
// token. It reports whether the request can be sent again with another token.
func (s *Session) Replace(ctx context.Context, token string, a *Answer) bool {
	if s.Token() != token {
		return true
	}
	if s.cfg.Method == nil {
		// The file may have been read again meanwhile.
		return s.reload() || s.Token() != token
	}
	start := s.mayLogIn
	switch s.judge(ctx, token, a) {
	case Valid:
		start = s.mayLogInAgain
	case Invalid:
	case Unknown:
		return false
	}
	if s.Token() == token {
		_, _ = s.logins.join(ctx, loginLimit, start, s.logIn)
	}
	return s.Token() != token
}

// logIn gets a new token. Only logins calls it.
func (s *Session) logIn(ctx context.Context) error {
	s.mu.Lock()
	s.attempted = time.Now()
	s.mu.Unlock()
	l, err := s.requestToken(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.counts.failedLogins++
		s.failed = err
		return err
	}
	s.counts.logins++
	s.log.Log(s.loginLevel(), "logged in to vault", zap.String("method", s.cfg.Method.Name()), zap.Duration("ttl", l.ttl), zap.Bool("renewable", l.renewable))
	s.failed, s.trouble = nil, ""
	s.use(l)
	return nil
}

// requestToken performs a login.
func (s *Session) requestToken(ctx context.Context) (lease, error) {
	method := s.cfg.Method
	rest, body, err := method.request(ctx, s)
	if err != nil {
		return lease{}, err
	}
	where := mountPath(method)
	a, err := s.sendLogin(ctx, where+"/"+rest, body)
	if err != nil {
		return lease{}, err
	}
	var auth authAnswer
	if a.Status != 200 || json.Unmarshal(a.Auth, &auth) != nil {
		return lease{}, a.Explain(ctx)
	}
	token, err := parseToken(auth.Token)
	switch {
	case err != nil && len(auth.MFA) > 0 && string(auth.MFA) != "null":
		return lease{}, fail(Refused, a.Status, "the login at %s asks for a second factor, which a service does not have; take it out of the MFA enforcement", where)
	case err != nil:
		return lease{}, a.Explain(ctx)
	case auth.Uses > 0:
		// Each attempt leaves a token behind, which may live for long.
		_, _ = s.post(ctx, token, revokeSelf, nil)
		return lease{}, fail(Refused, a.Status, "the login at %s gives tokens for a limited number of requests; set token_num_uses of the role to 0", where)
	}
	l := lease{token: token, own: true, batch: auth.Type == "batch"}
	return l.granted(time.Now(), seconds(auth.Lease), auth.Renewable), nil
}

// sendLogin sends a login, unless the server would lock the role or user for it. Its error says why
// the server refuses it.
func (s *Session) sendLogin(ctx context.Context, path string, body map[string]any) (a *Answer, err error) {
	method := s.cfg.Method
	m, lockable := method.(lockable)
	send := func() (wrong bool, err error) {
		a, err = s.post(ctx, "", path, body)
		if err != nil || !a.refuses() {
			return false, err
		}
		return lockable && m.secretIsWrong(a), fail(Refused, a.Status, "the server refuses the login at %s (%d): %s", mountPath(method), a.Status, method.advice(a))
	}
	if lockable {
		err = s.cfg.Refusals.send(ctx, s.loginID(path, body), m.secretFile(), send)
	} else {
		_, err = send()
	}
	return a, err
}

// loginLevel keeps routine logins, which may come every few minutes, out of the log.
// The caller holds mu.
func (s *Session) loginLevel() zapcore.Level {
	if s.lease.token == "" || s.trouble != "" || s.failed != nil || s.lease.dead {
		return zap.InfoLevel
	}
	return zap.DebugLevel
}
