package login

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// firstWait and maxWait bound the waits between failing attempts.
const (
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
