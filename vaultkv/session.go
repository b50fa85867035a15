package vaultkv

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// loginLimit bounds a login, which may be several requests.
	loginLimit = 15 * time.Second
	// tokenTimeout bounds each request about a token, or Config.Timeout does if
	// that is longer: logins take longer than reads, but a connection that leads
	// nowhere must not use up the life of the token.
	tokenTimeout = 5 * time.Second
	// demandInterval is the least time between logins that refused requests ask
	// for, and maxDemandInterval the most to which it grows while a new token
	// is refused like the one before.
	demandInterval    = time.Second
	maxDemandInterval = 30 * time.Second
	// revokeLimit bounds the revocation of tokens at a stop.
	revokeLimit = time.Second
	// maxSuperseded bounds how many tokens wait to be revoked.
	maxSuperseded = 16
)

// A session is the Vault token of one vault object, given or got by logging in,
// over its life. It is safe for concurrent use.
type session struct {
	home  *Vault
	login Login // nil where the token is given
	// bare is a client without a token, in the namespace that tokens belong to.
	// It is never changed.
	bare      *api.Client
	namespace string
	log       *zap.Logger

	logins, lookups flight
	// unwrapped is used within logins only.
	unwrapped unwrapped
	// changed wakes keep when there is another token.
	changed chan struct{}

	// taken is set once the server has taken the token in use.
	taken atomic.Bool

	mu    sync.Mutex
	lease lease
	// superseded are tokens of ours that were replaced, to be revoked when
	// requests that carry them are over.
	superseded []superseded
	// attempted is when the last login began, and demand the wait before a
	// request may ask for another.
	attempted time.Time
	demand    time.Duration
	// unfit is the wait before another login, and notBefore when it ends, while
	// the server takes none of the tokens that it gives.
	unfit     backoff
	notBefore time.Time
	// failed is why the last login failed, nil if it did not.
	failed *Error
	// trouble is what was last logged about keeping the token, to log it once.
	trouble string
	// refused remembers why the last 403 came.
	refused refused
	counts  tokenCounts
}

type superseded struct {
	token string
	at    time.Time
}

type tokenCounts struct{ logins, failedLogins, renewals, failedRenewals uint64 }

func newSession(v *Vault, bare *api.Client, token string) *session {
	s := &session{
		home: v, login: v.cfg.Login, namespace: v.cfg.loginNamespace(), log: v.log,
		changed: make(chan struct{}, 1),
	}
	// WithNamespace copies the client: nothing may change bare meanwhile.
	s.bare = bare.WithNamespace(s.namespace)
	s.bare.ClearToken()
	s.lease = lease{token: token}
	return s
}

// current returns the token in use, empty before the first login.
func (s *session) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease.token
}

// use replaces the token. The caller holds mu.
func (s *session) use(l lease) {
	if old := s.lease; old.own && !old.batch && old.token != l.token && !old.expired(time.Now()) && len(s.superseded) < maxSuperseded {
		s.superseded = append(s.superseded, superseded{old.token, time.Now()})
	}
	s.lease = l
	s.taken.Store(false)
	s.home.client.SetToken(l.token)
	s.home.guard.lift()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// ready waits for the first login.
func (s *session) ready(ctx context.Context) *Error {
	if s.home.cfg.Agent || s.current() != "" {
		return nil
	}
	problem, began := s.logins.join(ctx, loginLimit, s.allowed, s.logIn)
	if problem != nil || s.current() != "" {
		return problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !began && s.failed != nil {
		return s.failed
	}
	return fail(StateUnknown, 0, "there is no Vault token: the vault object is not logged in")
}

// allowed says whether a request may ask for a login: only so often, however
// many requests are refused.
func (s *session) allowed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.attempted) >= demandInterval && !time.Now().Before(s.notBefore)
}

// allowedAgain is allowed where the server takes the token and refuses the
// request. A new login helps if the role has got other policies, and does not
// if they are missing; so attempts get rarer.
func (s *session) allowedAgain() bool {
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

// another gets another token after the server refused one with a, and says
// whether there is one to try again with.
func (s *session) another(ctx context.Context, token string, a *answer) bool {
	if s.current() != token {
		return true
	}
	if s.login == nil {
		// It may also have been read again meanwhile.
		return s.reload() || s.current() != token
	}
	begin := s.allowed
	switch s.judge(ctx, token, a) {
	case tokenAlive:
		begin = s.allowedAgain
	case tokenDead:
	case tokenUnsure:
		return false
	}
	if s.current() == token {
		_, _ = s.logins.join(ctx, loginLimit, begin, s.logIn)
	}
	return s.current() != token
}

// logIn gets a new token. It runs within logins.
func (s *session) logIn(ctx context.Context) *Error {
	s.mu.Lock()
	s.attempted = time.Now()
	s.mu.Unlock()
	l, problem := s.askForToken(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if problem != nil {
		s.counts.failedLogins++
		s.failed = problem
		return problem
	}
	s.counts.logins++
	s.log.Log(s.loginLevel(), "logged in to vault", zap.String("method", s.login.Method()), zap.Duration("ttl", l.ttl), zap.Bool("renewable", l.renewable))
	s.failed, s.trouble = nil, ""
	s.use(l)
	return nil
}

// askForToken logs in. Its errors are for the operator, and hold none of what
// was sent.
func (s *session) askForToken(ctx context.Context) (lease, *Error) {
	rest, body, problem := s.login.request(ctx, s)
	if problem != nil {
		return lease{}, problem
	}
	where := loginPath(s.login)
	a, problem := s.post(ctx, "", where+"/"+rest, body)
	switch {
	case problem != nil:
		return lease{}, problem
	case (a.status == 400 || a.status == 403 || a.status == 404) && a.Errors != nil:
		return lease{}, fail(StateLoginRefused, a.status, "the server refuses the login at %s (%d): %s", where, a.status, s.login.advice(a))
	case a.status != 200:
		return lease{}, s.otherRefusal(ctx, a)
	}
	var auth authAnswer
	if json.Unmarshal(a.Auth, &auth) != nil {
		return lease{}, s.home.notVault(a)
	}
	token, err := parseToken(auth.Token)
	switch {
	case err != nil && len(auth.MFA) > 0 && string(auth.MFA) != "null":
		return lease{}, fail(StateLoginRefused, a.status, "the login at %s asks for a second factor, which a service does not have; take it out of the MFA enforcement", where)
	case err != nil:
		return lease{}, s.home.notVault(a)
	case auth.Uses > 0:
		// Each try leaves one, and they may live for long.
		_, _ = s.post(ctx, token, "auth/token/revoke-self", nil)
		return lease{}, fail(StateLoginRefused, a.status, "the login at %s gives tokens for a limited number of requests; set token_num_uses of the role to 0", where)
	}
	l := lease{token: token, own: true, batch: auth.Type == "batch"}.granted(time.Now(), seconds(auth.Lease), auth.Renewable)
	return l, nil
}

// loginLevel keeps logins that come every few minutes out of the log. The caller
// holds mu.
func (s *session) loginLevel() zapcore.Level {
	if s.lease.token == "" || s.trouble != "" || s.failed != nil || s.lease.dead {
		return zap.InfoLevel
	}
	return zap.DebugLevel
}

// post sends a request with a token of its own, or none.
func (s *session) post(ctx context.Context, token, path string, body map[string]any) (*answer, *Error) {
	raw, err := json.Marshal(body)
	if err != nil || body == nil {
		raw = []byte("{}")
	}
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().WriteRawWithContext(ctx, path, raw)
	})
}

// ask sends one request about a token.
func (s *session) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	limit := max(s.home.cfg.Timeout, tokenTimeout)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, problem := s.home.ask(bounded, send)
	if problem != nil && ctx.Err() == nil && bounded.Err() != nil {
		problem = fail(StateUnreachable, 0, "no answer from %s within %s to a request about the Vault token; check the server's load and the network to it", s.home.cfg.Address, limit)
		problem.kind, problem.cause = "no answer in time", context.DeadlineExceeded
	}
	return a, problem
}

// with returns a client for requests about a token.
func (s *session) with(token string) *api.Client {
	client := s.bare.WithNamespace(s.namespace)
	client.SetToken(token)
	return client
}

// otherRefusal explains every status that is not about the token or the login.
func (s *session) otherRefusal(ctx context.Context, a *answer) *Error {
	if a.status == 200 || a.status == 204 || a.status == 403 || a.status == 404 {
		return s.home.notVault(a)
	}
	return s.home.refusal(ctx, a)
}

// reload reads a token file again and says whether there was a new token in it.
// A file that cannot be read leaves the old token in place.
func (s *session) reload() (changed bool) {
	if s.home.cfg.TokenFile == "" {
		return false
	}
	token, err := readToken(s.home.cfg.TokenFile)
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

// report logs trouble once. The caller holds mu.
func (s *session) report(message, detail string) {
	if s.trouble == detail {
		return
	}
	s.trouble = detail
	s.log.Warn(message, zap.String("detail", detail))
}
