package login

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// loginLimit bounds a login, which may take several requests.
	loginLimit = 15 * time.Second
	// tokenTimeout bounds each request about a token, unless Config.Timeout is longer:
	// logins take longer than reads, but a connection that leads nowhere must not use
	// up the life of the token.
	tokenTimeout = 5 * time.Second
	// demandInterval is the least time between two logins that refused requests ask
	// for. It grows up to maxDemandInterval while new tokens are refused too.
	demandInterval    = time.Second
	maxDemandInterval = 30 * time.Second
	// firstWait and maxWait bound the waits between failing attempts.
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
)

// A Session is the Vault token of one vault object over its life. It is safe for
// concurrent use. Make one with [New].
type Session struct {
	cfg    Config
	server Server
	log    *zap.Logger
	// bare is a client without a token, in the namespace of the token. It never
	// changes.
	bare *api.Client

	logins, lookups call
	// unwrapped is used by logins only.
	unwrapped unwrapped
	// changed wakes Keep when the token has changed.
	changed chan struct{}

	// accepted is set once the server has accepted the current token.
	accepted atomic.Bool

	mu    sync.Mutex
	lease lease
	// superseded are tokens of ours that were replaced. They are revoked when no
	// request carries them any more.
	superseded []superseded
	// attempted is when the last login began. demand is the wait before a request
	// may ask for another login.
	attempted time.Time
	demand    time.Duration
	// unfit spaces logins while the server accepts none of the tokens that it gives;
	// the next login is at notBefore.
	unfit     backoff.Exponential
	notBefore time.Time
	// failed is why the last login failed, nil after a success.
	failed error
	// trouble is the last line logged about keeping the token, to log it once.
	trouble string
	// verdict is on the last token that a request was refused with.
	verdict remembered
	counts  counts
}

type superseded struct {
	token string
	at    time.Time
}

type counts struct{ logins, failedLogins, renewals, failedRenewals uint64 }

// New returns a session without contacting the server. The files that the
// configuration names must exist. New copies the client.
func New(c Config, client *api.Client, server Server, log *zap.Logger) (*Session, error) {
	token, err := c.initialToken()
	if err != nil {
		return nil, err
	}
	c.Token = "" // The lease has it from here on.
	if c.Refusals == nil {
		c.Refusals = NewRefusals()
	}
	s := &Session{
		cfg: c, server: server, log: log, changed: make(chan struct{}, 1), lease: lease{token: token},
		unfit: backoff.Exponential{First: firstWait, Max: maxWait},
		// WithNamespace copies the client.
		bare: client.WithNamespace(c.namespace()),
	}
	s.bare.ClearToken()
	if token != "" {
		server.UseToken(token)
	}
	return s, nil
}

// Token returns the current token. It is empty before the first login, and if an
// agent adds the token.
func (s *Session) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease.token
}

// Accepted records that the server accepted a request with the current token.
func (s *Session) Accepted() { s.accepted.Store(true) }

// use replaces the token. The caller holds mu.
func (s *Session) use(l lease) {
	if old := s.lease; old.own && !old.batch && old.token != l.token && !old.expired(time.Now()) && len(s.superseded) < maxSuperseded {
		s.superseded = append(s.superseded, superseded{old.token, time.Now()})
	}
	s.lease = l
	s.accepted.Store(false)
	s.server.UseToken(l.token)
	s.wake()
}

func (s *Session) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

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

// The paths of requests about a token.
const (
	lookupSelf = "auth/token/lookup-self"
	renewSelf  = "auth/token/renew-self"
	revokeSelf = "auth/token/revoke-self"
)

// post sends a request with the given token, which may be empty.
func (s *Session) post(ctx context.Context, token, path string, body map[string]any) (*Answer, error) {
	raw, err := json.Marshal(body)
	if err != nil || body == nil {
		raw = []byte("{}")
	}
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().WriteRawWithContext(ctx, path, raw)
	})
}

// lookUp asks the server about a token.
func (s *Session) lookUp(ctx context.Context, token string) (*Answer, error) {
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().ReadRawWithContext(ctx, lookupSelf)
	})
}

// ask sends one request about a token.
func (s *Session) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*Answer, error) {
	limit := max(s.cfg.Timeout, tokenTimeout)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err := s.server.Ask(bounded, send)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		slow := fail(NoAnswer, 0, "no answer from %s within %s to a request about the Vault token; check the server's load and the network to it", s.cfg.Address, limit)
		slow.cause = context.DeadlineExceeded
		return nil, slow
	}
	return a, err
}

// with returns a client that sends the given token.
func (s *Session) with(token string) *api.Client {
	client := s.bare.WithNamespace(s.cfg.namespace())
	client.SetToken(token)
	return client
}

// reload reads a token file again and reports whether it contains a new token. The
// current token stays if the file cannot be read.
func (s *Session) reload() (changed bool) {
	if s.cfg.TokenFile == "" {
		return false
	}
	token, err := readToken(s.cfg.TokenFile)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.report("vault token not read again, the old one stays in use", err.Error())
		return false
	}
	if token == s.lease.token {
		return false
	}
	s.trouble = ""
	s.use(lease{token: token})
	s.log.Info("vault token replaced from its file")
	return true
}

// report logs trouble with the token once. The caller holds mu.
func (s *Session) report(message, detail string) {
	if s.trouble == detail {
		return
	}
	s.trouble = detail
	s.log.Warn(message, zap.String("detail", detail))
}
