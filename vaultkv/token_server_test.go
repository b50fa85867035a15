package vaultkv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A tokenServer is what Vault does with tokens and logins, on pipes instead of
// sockets, so that it works on the fake clock of a bubble of testing/synctest.
// It answers a read of the record of accessToken to every token that lives.
type tokenServer struct {
	// TTL and MaxTTL are of the tokens that logins give; a TTL of 0 is for ever.
	TTL, MaxTTL time.Duration
	// Batch tokens cannot be renewed, and NotRenewable ones neither.
	Batch, NotRenewable bool
	// Uses is for how many requests the tokens are good, 0 for any number.
	Uses int

	mu       sync.Mutex
	n        int
	tokens   map[string]*serverToken
	secretID string
	// down is set while nobody answers, and what a request is answered instead.
	down          bool
	renewals      int    // status of renewals, 0 for what the token allows
	renewalBody   string // policyDenies if empty
	swallow       int    // so many renewals get no answer
	loginStatus   int
	denied        bool // the policies cover nothing
	elsewhere     bool // the tokens are bound to other addresses
	seen          map[string]int
	conns         map[net.Conn]struct{}
	pipes         *pipes
	loginsInASlot map[int64]int
}

type serverToken struct {
	created, expires time.Time
	max              time.Time
	ttl              time.Duration
	uses             int // how many requests it is good for, 0 for any number
}

func newTokenServer(t *testing.T, s *tokenServer) *tokenServer {
	t.Helper()
	s.tokens, s.seen, s.secretID = map[string]*serverToken{}, map[string]int{}, "zzSECRETIDzz-1"
	s.conns, s.loginsInASlot = map[net.Conn]struct{}{}, map[int64]int{}
	s.pipes = servePipes(t, s)
	return s
}

func (s *tokenServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs, err := s.pipes.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns[theirs] = struct{}{}
	s.mu.Unlock()
	return ours, nil
}

// set changes the server while it runs.
func (s *tokenServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.down {
		for c := range s.conns {
			_ = c.Close()
		}
		clear(s.conns)
	}
}

func (s *tokenServer) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[what]
}

// live is how many tokens have not ended.
func (s *tokenServer) live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.tokens {
		if t.lives() {
			n++
		}
	}
	return n
}

func (t *serverToken) lives() bool { return t.ttl == 0 || time.Now().Before(t.expires) }

// give makes a token.
func (s *tokenServer) give() (string, *serverToken) {
	s.n++
	now := time.Now()
	t := &serverToken{created: now, ttl: s.TTL, expires: now.Add(s.TTL), uses: s.Uses}
	if s.MaxTTL > 0 {
		t.max = now.Add(s.MaxTTL)
	}
	token := fmt.Sprintf("%s-%d", vaultToken, s.n)
	s.tokens[token] = t
	return token, t
}

func (s *tokenServer) auth(token string, t *serverToken) string {
	kind := "service"
	if s.Batch {
		kind = "batch"
	}
	left := 0
	if t.ttl > 0 {
		left = int(time.Until(t.expires).Seconds())
	}
	return fmt.Sprintf(`{"auth":{"client_token":%q,"lease_duration":%d,"renewable":%t,"token_type":%q,"num_uses":%d}}`,
		token, left, !s.Batch && !s.NotRenewable && t.ttl > 0, kind, s.Uses)
}

const policyDenies = `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	s.seen[path]++
	if s.swallow > 0 && path == "auth/token/renew-self" {
		s.swallow--
		s.mu.Unlock()
		// Only with the body read does the server notice the end.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		s.mu.Lock()
		return
	}
	token := r.Header.Get("X-Vault-Token")
	t := s.tokens[token]
	alive := t != nil && t.lives()
	uses := 0 // as the server tells them
	if alive && t.uses > 0 {
		if t.uses--; t.uses == 0 {
			delete(s.tokens, token)
		}
		if uses = t.uses; uses == 0 {
			uses = -1
		}
	}
	say := func(status int, body string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch {
	case path == "auth/approle/login":
		var body struct {
			SecretID string `json:"secret_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		s.loginsInASlot[time.Now().Unix()]++
		switch {
		case token != "":
			say(400, `{"errors":["a login with a token"]}`)
		case s.loginStatus != 0:
			say(s.loginStatus, `{"errors":["invalid role or secret ID"]}`)
		case body.SecretID != s.secretID:
			say(400, `{"errors":["invalid role or secret ID"]}`)
		default:
			say(200, s.auth(s.give()))
		}
	case !alive, s.elsewhere:
		say(403, `{"errors":["permission denied"]}`)
	case path == "auth/token/lookup-self":
		left, expires := 0, "null"
		if t.ttl > 0 {
			left, expires = int(time.Until(t.expires).Seconds()), `"x"`
		}
		say(200, fmt.Sprintf(`{"data":{"ttl":%d,"expire_time":%s,"renewable":%t,"type":"service","num_uses":%d}}`, left, expires, t.ttl > 0 && !s.NotRenewable, uses))
	case path == "auth/token/renew-self":
		s.renew(t, token, say)
	case path == "auth/token/revoke-self":
		delete(s.tokens, token)
		say(204, "")
	case s.denied:
		say(403, policyDenies)
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		say(200, `{"data":{"type":"kv","options":{"version":"1"}}}`)
	case path == "kong-auth/"+accessToken:
		say(200, `{"data":`+string(record())+`}`)
	default:
		say(404, `{"errors":[]}`)
	}
}

func (s *tokenServer) renew(t *serverToken, token string, say func(int, string)) {
	switch {
	case s.renewals != 0 && s.renewalBody != "":
		say(s.renewals, s.renewalBody)
	case s.renewals != 0:
		say(s.renewals, policyDenies)
	case s.Batch, s.NotRenewable, t.ttl == 0:
		say(400, `{"errors":["lease is not renewable"]}`)
	default:
		t.expires = time.Now().Add(t.ttl)
		if !t.max.IsZero() && t.expires.After(t.max) {
			t.expires = t.max
		}
		say(200, s.auth(token, t))
	}
}

// A loginWorld is a vault object at a tokenServer, at work.
type loginWorld struct {
	*tokenServer
	vault *vaultkv.Vault
	store *vaultkv.Store
	logs  *observer.ObservedLogs
	file  string // with the secret id
	stop  func()
}

func startLoginWorld(t *testing.T, s *tokenServer, edit func(*vaultkv.Config)) *loginWorld {
	t.Helper()
	w := &loginWorld{tokenServer: newTokenServer(t, s), file: t.TempDir() + "/secret-id"}
	writeFile(t, w.file, w.secretID+"\n")
	runObject(t, w, edit)
	return w
}

// runObject opens the vault object and lets it work.
func runObject(t *testing.T, w *loginWorld, edits ...func(*vaultkv.Config)) {
	t.Helper()
	w.vault, w.store, w.logs = open(t, "http://vault.example:8200", func(c *vaultkv.Config) {
		c.Token, c.Login = "", login.AppRole{RoleID: "role", SecretIDFile: w.file}
		for _, edit := range edits {
			if edit != nil {
				edit(c)
			}
		}
	})
	w.vault.SetDial(w.dial)
	w.vault.SetPoll(30 * time.Second) // a day has many seconds
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.vault.Run(ctx) }()
	w.stop = func() {
		if done == nil {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want no error", err)
		}
		done = nil
	}
	t.Cleanup(w.stop)
}

// lookup says whether the record is found.
func (w *loginWorld) lookup(t *testing.T) error {
	t.Helper()
	c, err := w.store.Lookup(t.Context(), accessToken)
	wantNoTokens(t, err, w.logs, "zzSECRETIDzz")
	if err == nil && c.AccessToken != accessToken {
		return errors.New("another record was found")
	}
	if err != nil && !errors.Is(err, authz.ErrUnavailable) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrUnavailable)
	}
	return err
}
