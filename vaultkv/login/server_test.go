package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/test/pipes"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A tokenServer is what Vault does with tokens and logins, on pipes instead of
// sockets, so that it works on the fake clock of a bubble of testing/synctest.
// It answers a read of kv/record with every token that lives.
type tokenServer struct {
	// TTL and MaxTTL are of the tokens that logins give; a TTL of 0 is for ever.
	TTL, MaxTTL time.Duration
	// Batch tokens cannot be renewed, and NotRenewable ones neither.
	Batch, NotRenewable bool
	// Uses is for how many requests the tokens are good, 0 for any number.
	Uses int

	mu            sync.Mutex
	n             int
	tokens        map[string]*serverToken
	secretID      string
	down          bool   // nothing listens
	renewals      int    // status of renewals, 0 for what the token allows
	renewalBody   string // policyDenies if empty
	swallow       int    // as many renewals get no answer
	loginStatus   int
	denied        bool // the policies cover nothing
	elsewhere     bool // the tokens are bound to other addresses
	seen          map[string]int
	conns         map[net.Conn]struct{}
	pipes         *pipes.Listener
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
	s.tokens, s.seen, s.secretID = map[string]*serverToken{}, map[string]int{}, secretID+"-1"
	s.conns, s.loginsInASlot = map[net.Conn]struct{}{}, map[int64]int{}
	s.pipes = pipes.Serve(t, s)
	return s
}

func (s *tokenServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs, err := s.pipes.Dial(ctx)
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
			say(s.loginStatus, `{"errors":["the backend is not ready"]}`)
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
	case path == "kv/record":
		say(200, `{"data":{"a":"b"}}`)
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

// A testbed is a session at a tokenServer, at work, and a reader that uses it as vaultkv
// does.
type testbed struct {
	*tokenServer
	session *login.Session
	client  *api.Client
	conns   *http.Transport
	logs    *observer.ObservedLogs
	file    string // with the secret id
	stop    func()
}

const readTimeout = 2 * time.Second

func startTestbed(t *testing.T, s *tokenServer, edit func(*login.Config)) *testbed {
	t.Helper()
	w := &testbed{tokenServer: newTokenServer(t, s), file: t.TempDir() + "/secret-id"}
	writeFile(t, w.file, w.secretID+"\n")
	w.start(t, edit)
	return w
}

// start makes the session and lets it work.
func (w *testbed) start(t *testing.T, edit func(*login.Config)) {
	t.Helper()
	w.conns = &http.Transport{DialContext: w.dial}
	client, err := api.NewClient(&api.Config{
		Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: w.conns},
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) { return false, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	client.ClearToken()
	w.client = client
	c := login.Config{
		Method:  login.AppRole{RoleID: "role", SecretIDFile: w.file},
		Address: "http://vault.example:8200", Timeout: readTimeout,
	}
	if edit != nil {
		edit(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	w.logs = logs
	if w.session, err = login.New(c, client, w, zap.New(core)); err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.session.Keep(ctx, 30*time.Second) // A day has many seconds.
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := w.session.Close(ctx); err != nil {
			t.Logf("Close: %v", err)
		}
		w.conns.CloseIdleConnections()
	})
	t.Cleanup(w.stop)
}

var errNoAnswer = errors.New("there was no answer")

// Ask implements [login.Server].
func (w *testbed) Ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*login.Answer, error) {
	resp, _ := send(ctx)
	if resp == nil || resp.Response == nil {
		return nil, errNoAnswer
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, errNoAnswer
	}
	a := &login.Answer{}
	if json.Unmarshal(body, a) != nil {
		a = &login.Answer{}
	}
	a.Status = resp.StatusCode
	a.Explain = func(context.Context) error { return fmt.Errorf("status %d", resp.StatusCode) }
	return a, nil
}

// UseToken implements [login.Server].
func (w *testbed) UseToken(token string) { w.client.SetToken(token) }

var errDenied = errors.New("the policies do not cover the read")

// read reads with the token of the session.
func (w *testbed) read(t *testing.T) error {
	t.Helper()
	err := w.tryRead(t.Context())
	wantNoSecrets(t, err, w.logs)
	return err
}

func (w *testbed) tryRead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := w.session.Ready(ctx); err != nil {
		return err
	}
	send := func(ctx context.Context) (*api.Response, error) {
		return w.client.Logical().ReadRawWithContext(ctx, "kv/record")
	}
	token := w.session.Token()
	a, err := w.Ask(ctx, send)
	if err == nil && a.Status == 403 && w.session.Replace(ctx, token, a) {
		a, err = w.Ask(ctx, send)
	}
	switch {
	case err != nil:
		return err
	case a.Status == 403:
		switch w.session.Judge(ctx, a) {
		case login.Valid:
			return errDenied
		case login.Invalid:
			return w.session.Rejection()
		case login.Unknown:
		}
		return errors.New("a 403 without a reason")
	case a.Status != 200:
		return a.Explain(ctx)
	}
	w.session.Accepted()
	return nil
}

// wantReason fails if err is not a login.Error with one of the reasons.
func wantReason(t *testing.T, err error, reasons ...login.Reason) {
	t.Helper()
	var e *login.Error
	if !errors.As(err, &e) || !slices.Contains(reasons, e.Reason) {
		t.Errorf("got %v, want an error with one of the reasons %v", err, reasons)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	err := os.WriteFile(name, []byte(content), 0o600)
	if err == nil {
		err = os.Chtimes(name, time.Time{}, time.Now()) // the clock of the test
	}
	if err != nil {
		t.Fatal(err)
	}
}
