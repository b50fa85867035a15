package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// open returns an engine and a store over the server at address.
func open(t *testing.T, address string, edit func(*vaultkv.Config)) (*vaultkv.Vault, *record.Source, *observer.ObservedLogs) {
	t.Helper()
	c := goodConfig()
	c.Address, c.Token = address, vaultToken
	if edit != nil {
		edit(&c)
	}
	log, logs := newLog()
	v, err := vaultkv.New(c, log)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(v.CloseIdle)
	return v, record.NewSource(c.Name, v, authz.NewDigester(), log), logs
}

func fake(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// TestOnlyDefiniteAnswersAreNotFound: everything that
// does not tell for certain is unavailable.
func TestOnlyDefiniteAnswersAreNotFound(t *testing.T) {
	t.Parallel()
	good := `{"data":{"access_token":"` + accessToken + `","secret_token":"` + secretToken + `","consumer":{"id":"a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52"}}}`
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4000")
		_, _ = w.Write([]byte(good[:20]))
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	large := answer(200, good[:len(good)-1]+`,"x":"`+strings.Repeat("x", 8192)+`"}`)
	largeError := answer(500, strings.Repeat("x", 1<<20))
	tests := []struct {
		name    string
		kv      string
		handler http.HandlerFunc
		want    error // nil for found
		state   vaultkv.State
	}{
		{"found", "v1", answer(200, good), nil, vaultkv.StateOK},
		{"found in v2", "v2", answer(200, `{"data":`+good[:len(good)-1]+`,"metadata":{"version":1}}}`), nil, vaultkv.StateOK},
		{"missing", "v1", answer(404, `{"errors":[]}`), authz.ErrNotFound, vaultkv.StateOK},
		{"data null", "v1", answer(200, `{"data":null}`), authz.ErrNotFound, vaultkv.StateOK},
		{"deleted in v2", "v2", answer(404, `{"data":{"data":null,"metadata":{"deletion_time":"x"}}}`), authz.ErrNotFound, vaultkv.StateOK},
		{"data null in v2", "v2", answer(200, `{"data":{"data":null,"metadata":{"destroyed":true}}}`), authz.ErrNotFound, vaultkv.StateOK},
		{"a v1 record at data/", "v2", answer(200, good), authz.ErrUnavailable, vaultkv.StateFailing},
		{"no mount", "v1", answer(404, `{"errors":["no handler for route \"kong-auth/`+accessToken+`\". route entry not found."]}`), authz.ErrUnavailable, vaultkv.StateNoMount},
		{"other error with 404", "v1", answer(404, `{"errors":["`+accessToken+`"]}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"v2 mount read as v1", "v1", answer(404, `{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}`), authz.ErrUnavailable, vaultkv.StateWrongVersion},
		{"404 of a web server", "v1", answer(404, `<html>not found</html>`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"404 of an API", "v1", answer(404, `{"message":"Not found"}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"404 without a body", "v1", answer(404, ``), authz.ErrUnavailable, vaultkv.StateFailing},
		{"HTML", "v1", answer(200, `<html>log in</html>`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"JSON that is cut off", "v1", answer(200, good[:60]), authz.ErrUnavailable, vaultkv.StateFailing},
		{"JSON with something behind", "v1", answer(200, good+"x"), authz.ErrUnavailable, vaultkv.StateFailing},
		{"data of another type", "v1", answer(200, `{"data":"`+secretToken+`"}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"no data", "v1", answer(200, `{}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"empty", "v1", answer(200, ``), authz.ErrUnavailable, vaultkv.StateFailing},
		{"body that ends early", "v1", cut, authz.ErrUnavailable, vaultkv.StateUnreachable},
		{"connection that ends", "v1", hangUp, authz.ErrUnavailable, vaultkv.StateUnreachable},
		{"body too large", "v1", large, authz.ErrUnavailable, vaultkv.StateFailing},
		{"error body too large", "v1", largeError, authz.ErrUnavailable, vaultkv.StateFailing},
		{"400", "v1", answer(400, `{"errors":["`+accessToken+`"]}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"403", "v1", answer(403, `{"errors":["permission denied"]}`), authz.ErrUnavailable, vaultkv.StateTokenRejected},
		{"412", "v1", answer(412, `{"errors":["required index state not present"]}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"429", "v1", answer(429, `{"errors":["request path \"kong-auth/`+accessToken+`\": rate limit quota exceeded"]}`), authz.ErrUnavailable, vaultkv.StateLimited},
		{"472", "v1", answer(472, ``), authz.ErrUnavailable, vaultkv.StateFailing},
		{"473", "v1", answer(473, ``), authz.ErrUnavailable, vaultkv.StateFailing},
		{"500", "v1", answer(500, `{"errors":["could not find version data"]}`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"501", "v1", answer(501, ``), authz.ErrUnavailable, vaultkv.StateFailing},
		{"502 of a proxy", "v1", answer(502, `<html>`), authz.ErrUnavailable, vaultkv.StateFailing},
		{"503 sealed", "v1", answer(503, `{"errors":["Vault is sealed"]}`), authz.ErrUnavailable, vaultkv.StateSealed},
		{"503 of a proxy", "v1", answer(503, `upstream`), authz.ErrUnavailable, vaultkv.StateFailing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, s, logs := open(t, fake(t, tt.handler), func(c *vaultkv.Config) { c.KV, c.MaxRetries = tt.kv, 1 })
			v.SetAnswerBytes(4096)
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, tt.want) {
				t.Errorf("Lookup = %v, want %v", err, tt.want)
			}
			if tt.want != nil && tt.want != authz.ErrNotFound && errors.Is(err, authz.ErrNotFound) { //nolint:errorlint // tt.want is the sentinel
				t.Errorf("Lookup = %v, which is not found too", err)
			}
			if got := v.State(); got != tt.state {
				t.Errorf("State() = %s, want %s", got, tt.state)
			}
			wantNoTokens(t, err, logs)
		})
	}
}

func TestRedirectsDoNotTakeTheTokenAlong(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var asked atomic.Bool
			other := fake(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
			_, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other+r.URL.Path, status)
			}), nil)
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), "redirect") {
				t.Errorf("Lookup = %v, want unavailable with a word about the redirect", err)
			}
			if asked.Load() {
				t.Error("the other host was asked")
			}
			wantNoTokens(t, err, logs)
		})
	}
}

// TestPathIsOneSegmentUnderTheMount: what is no plain
// segment is not sent at all.
func TestPathIsOneSegmentUnderTheMount(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var paths []string
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path+r.URL.RawQuery)
		answer(404, `{"errors":[]}`)(w, r)
	})
	v, s, _ := open(t, url, func(c *vaultkv.Config) { c.KV, c.Timeout = "v2", 20*time.Second })
	bad := []string{
		"", ".", "..", "a..b", "../sys/health", "a/b", "/a", "a/", "a%2fb", "%2e%2e", `a\b`, "a?list=true", "a#b", "a b", "a\nb", "a\x00",
		"ä", "a;b", strings.Repeat("a", 4097),
	}
	for _, key := range bad {
		if _, err := s.Lookup(t.Context(), key); !errors.Is(err, authz.ErrNotFound) {
			t.Errorf("Lookup(%q) = %v, want %v", key, err, authz.ErrNotFound)
		}
		if _, _, err := v.Read(t.Context(), key); err == nil {
			t.Errorf("Read(%q) = nil, want an error", key)
		}
		if err := v.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) = nil, want an error", key)
		}
	}
	if len(paths) != 0 {
		t.Fatalf("the server was asked for %q", paths)
	}
	want := []string{}
	for _, key := range []string{"foo", "a.b_c~d-E1", "a+b=c:d@e$f*g'h(i)&"} {
		if _, err := s.Lookup(t.Context(), key); !errors.Is(err, authz.ErrNotFound) {
			t.Errorf("Lookup(%q) = %v, want %v", key, err, authz.ErrNotFound)
		}
		want = append(want, "/v1/kong-auth/data/"+key)
		if len(want) == 1 {
			// The first "not found" is worth a look at what the mount is.
			want = append(want, "/v1/sys/internal/ui/mounts/kong-auth")
		}
	}
	if got := strings.Join(paths, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked for\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// A KV v1 mount answers a v2 read with "not found", whatever it holds. Taken for
// an unknown token, that would let everybody in as the anonymous consumer.
func TestNotFoundCountsOnlyOnceTheVersionOfTheMountIsKnown(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	failing.Store(true)
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/"):
			answer(404, `{"errors":[]}`)(w, r)
		case failing.Load():
			answer(500, `{"errors":["internal error"]}`)(w, r)
		default:
			answer(200, `{"data":{"type":"kv","options":{"version":"1"}}}`)(w, r)
		}
	})
	_, s, _ := open(t, url, func(c *vaultkv.Config) { c.KV = "v2" })
	for _, want := range []string{"not known yet", "set kv: v1", "set kv: v1"} {
		_, err := s.Lookup(t.Context(), "foo")
		if errors.Is(err, authz.ErrNotFound) || !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("Lookup = %v, want unavailable with %q", err, want)
		}
		failing.Store(false)
	}
}

// TestEnvironmentOfVaultHasNoEffect: VAULT_* variables are for
// the command line of Vault.
func TestEnvironmentOfVaultHasNoEffect(t *testing.T) {
	var header http.Header
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		answer(404, `{"errors":[]}`)(w, r)
	})
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "other",
		"VAULT_NAMESPACE": "other", "VAULT_HEADERS": `{"X-Other":"x"}`, "VAULT_WRAP_TTL": "60s", "VAULT_SKIP_VERIFY": "true",
		"VAULT_HTTP_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "VAULT_RATE_LIMIT": "0.001:1", "VAULT_CLIENT_TIMEOUT": "1ns",
	} {
		t.Setenv(name, value)
	}
	_, s, _ := open(t, url, nil)
	for range 3 {
		if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
			t.Fatalf("Lookup = %v, want %v", err, authz.ErrNotFound)
		}
	}
	if got := header.Get("X-Vault-Token"); got != vaultToken {
		t.Errorf("X-Vault-Token is not the configured one")
	}
	for _, name := range []string{"X-Vault-Namespace", "X-Other", "X-Vault-Wrap-Ttl"} {
		if header.Get(name) != "" {
			t.Errorf("%s: %q is sent, want none", name, header.Get(name))
		}
	}
}

func TestNamespaceIsSent(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	_, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("X-Vault-Namespace"))
		answer(404, `{"errors":[]}`)(w, r)
	}), func(c *vaultkv.Config) { c.Namespace = "team/prod" })
	_, _ = s.Lookup(t.Context(), accessToken)
	if got.Load() != "team/prod" {
		t.Errorf("X-Vault-Namespace = %q, want team/prod", got.Load())
	}
}

// TestForbiddenIsLookedIntoOnce: many requests that get a 403 at
// the same time do not become as many lookups and log lines.
func TestForbiddenIsLookedIntoOnce(t *testing.T) {
	t.Parallel()
	var lookups atomic.Int32
	v, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "lookup-self") {
			lookups.Add(1)
			answer(200, `{"data":{}}`)(w, r)
			return
		}
		answer(403, `{"errors":["permission denied"]}`)(w, r)
	}), nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, authz.ErrUnavailable) {
				t.Errorf("Lookup = %v, want %v", err, authz.ErrUnavailable)
			}
			wantNoTokens(t, err, logs)
		})
	}
	wg.Wait()
	if got := lookups.Load(); got < 1 || got > 3 {
		t.Errorf("%d lookups of the token, want one a second", got)
	}
	if got := v.State(); got != vaultkv.StateForbidden {
		t.Errorf("State() = %s, want %s", got, vaultkv.StateForbidden)
	}
	all := lines(logs)
	if len(all) != 1 || !strings.Contains(all[0], `path \"kong-auth/+\"`) && !strings.Contains(all[0], `path "kong-auth/+"`) {
		t.Errorf("log:\n%s\nwant one line with the policy path", strings.Join(all, "\n"))
	}
	if !v.Ready() {
		t.Error("Ready() = false although the server takes the token")
	}
}

// TestFlappingStateIsNotALinePerRead: a policy that covers some credentials and
// not others changes the state at each read.
func TestFlappingStateIsNotALinePerRead(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	_, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			answer(500, `{}`)(w, r)
			return
		}
		answer(404, `{"errors":[]}`)(w, r)
	}), nil)
	for range 100 {
		_, _ = s.Lookup(t.Context(), accessToken)
	}
	if got := logs.Len(); got < 2 || got > 12 {
		t.Errorf("%d lines for 100 changes, want some but few", got)
	}
}

// Something else, such as an agent of Vault, renews the token in the file.
func TestTokenFileIsReadAgainAtA403(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var good atomic.Value
	good.Store("first")
	v, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != good.Load() {
			answer(403, `{"errors":["permission denied"]}`)(w, r)
			return
		}
		answer(404, `{"errors":[]}`)(w, r)
	}), func(c *vaultkv.Config) {
		write("first")
		c.Token, c.TokenFile = "", file
	})
	want := func(when string, want error) {
		t.Helper()
		_, err := s.Lookup(t.Context(), accessToken)
		if !errors.Is(err, want) {
			t.Fatalf("%s: Lookup = %v, want %v", when, err, want)
		}
		wantNoTokens(t, err, logs, "first", "second")
	}
	want("at first", authz.ErrNotFound)
	good.Store("second")
	want("revoked", authz.ErrUnavailable)
	if got := v.State(); got != vaultkv.StateTokenRejected {
		t.Errorf("State() = %s, want %s", got, vaultkv.StateTokenRejected)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("file gone", authz.ErrUnavailable)
	write("second")
	v.CloseBreaker()
	want("replaced", authz.ErrNotFound)
}

// TestRunFollowsTheTokenFileAndRecovers: without any request.
func TestRunFollowsTheTokenFileAndRecovers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := make(chan string, 100)
	v, _, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/sys/health" {
			answer(501, `{}`)(w, r) // it is asked without a token
			return
		}
		token := r.Header.Get("X-Vault-Token")
		select {
		case tokens <- token:
		default:
		}
		if token == "second" {
			answer(404, `{"errors":[]}`)(w, r)
			return
		}
		answer(503, `{"errors":["Vault is sealed"]}`)(w, r)
	}), func(c *vaultkv.Config) { c.Token, c.TokenFile = "", file })
	v.SetPoll(time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	if got := <-tokens; got != "first" {
		t.Errorf("the first request has token %q, want first", got)
	}
	if v.Ready() {
		t.Error("Ready() = true before the server took the token")
	}
	if err := os.WriteFile(file, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for v.State() != vaultkv.StateOK {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("State() = %s, want %s", v.State(), vaultkv.StateOK)
		}
	}
	if !v.Ready() {
		t.Error("Ready() = false after the server took the token")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want no error", err)
	}
}

func TestSlowServerIsUnavailableWithinTheTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	v, s, logs := open(t, fake(t, func(http.ResponseWriter, *http.Request) { <-release }), func(c *vaultkv.Config) {
		c.Timeout, c.MaxRetries = 50*time.Millisecond, 1
	})
	t.Cleanup(func() { close(release) })
	begin := time.Now()
	_, err := s.Lookup(t.Context(), accessToken)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Lookup took %s with a timeout of 50ms", took)
	}
	if !errors.Is(err, authz.ErrUnavailable) || v.State() != vaultkv.StateUnreachable {
		t.Errorf("Lookup = %v in state %s, want %v in state %s", err, v.State(), authz.ErrUnavailable, vaultkv.StateUnreachable)
	}
	wantNoTokens(t, err, logs)
}

func TestCallerWhoGivesUpDoesNotChangeTheState(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	v, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, accessToken) {
			once.Do(func() { close(asked) })
			<-release
		}
		answer(404, `{"errors":[]}`)(w, r)
	}), nil)
	t.Cleanup(func() { close(release) })
	if _, err := s.Lookup(t.Context(), "other"); !errors.Is(err, authz.ErrNotFound) {
		t.Fatalf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
	go func() { <-asked; cancel() }()
	_, err := s.Lookup(ctx, accessToken)
	if !errors.Is(err, authz.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Lookup = %v, want %v and %v", err, authz.ErrUnavailable, context.Canceled)
	}
	if got := v.State(); got != vaultkv.StateOK {
		t.Errorf("State() = %s, want %s", got, vaultkv.StateOK)
	}
	wantNoTokens(t, err, logs)
}

func TestConnectionErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about us, as it should
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	plain := fake(t, answer(200, `{}`))
	tests := []struct{ name, address, want string }{
		{"nothing listens", gone.URL, "refuses the connection"},
		{"unknown authority", tlsServer.URL, "unknown authority"},
		{"not TLS", strings.Replace(plain, "http:", "https:", 1), "answers in plain HTTP"},
		{"no such host", "http://vault.invalid:8200", "check address and DNS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, s, logs := open(t, tt.address, nil)
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Lookup = %v, want unavailable with %q", err, tt.want)
			}
			if got := v.State(); got != vaultkv.StateUnreachable {
				t.Errorf("State() = %s, want %s", got, vaultkv.StateUnreachable)
			}
			wantNoTokens(t, err, logs)
		})
	}
}

func TestConnectionsAreKeptForAllReadsInFlight(t *testing.T) {
	t.Parallel()
	const inFlight = 40
	var conns atomic.Int32
	var arrived sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		answer(404, `{"errors":[]}`)(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, store, _ := open(t, s.URL, func(c *vaultkv.Config) { c.MaxConnections = inFlight; c.Timeout = 20 * time.Second })
	for range 3 {
		arrived.Add(inFlight)
		var wg sync.WaitGroup
		for range inFlight {
			wg.Go(func() { _, _ = store.Lookup(t.Context(), accessToken) })
		}
		wg.Wait()
	}
	if got := conns.Load(); got > inFlight+inFlight/4 {
		t.Errorf("%d connections were opened for three rounds of %d reads", got, inFlight)
	}
}
