package vaultkv_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A node is a fake server that counts what it is asked, but for its health and probes,
// and can change its mind.
type node struct {
	*httptest.Server
	asked atomic.Int32
	serve atomic.Pointer[http.HandlerFunc]
}

func newNode(t *testing.T, h http.HandlerFunc) *node {
	t.Helper()
	n := &node{}
	n.serve.Store(&h)
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/sys/health" && !strings.Contains(r.URL.Path, "vault-authz.probe.") {
			n.asked.Add(1)
		}
		(*n.serve.Load())(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *node) become(h http.HandlerFunc) { n.serve.Store(&h) }

var (
	notFound = answer(404, `{"errors":[]}`)
	sealed   = answer(503, `{"errors":["Vault is sealed"]}`)
	hangUp   = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
)

// hang answers nothing until the caller goes away.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestNextAddressIsTriedAndRemembered(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		first http.HandlerFunc
	}{
		{"sealed", sealed},
		{"not initialised", answer(501, ``)},
		{"a standby", answer(473, ``)},
		{"a standby whose health is asked in front of it", answer(429, `{"initialized":true,"sealed":false,"standby":true}`)},
		{"a node that lags behind", answer(412, `{"errors":["required index state not present"]}`)},
		{"an internal error", answer(500, `{"errors":["internal error"]}`)},
		{"a proxy without a server", answer(502, `<html>`)},
		{"a connection that ends", hangUp},
		{"an answer that is cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write([]byte(`{"data":`))
		}},
		{"a server that hangs", hang},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := newNode(t, tt.first), newNode(t, notFound)
			v, s, logs := open(t, first.URL+","+second.URL, func(c *vaultkv.Config) { c.Timeout = time.Second })
			for range 3 {
				if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
					t.Fatalf("Lookup = %v, want %v", err, authz.ErrNotFound)
				}
			}
			if got := first.asked.Load(); got != 1 {
				t.Errorf("the first address was asked %d times, want once", got)
			}
			if got := v.State(); got != vaultkv.StateOK {
				t.Errorf("State() = %s, want %s", got, vaultkv.StateOK)
			}
			wantNoTokens(t, nil, logs)
		})
	}
}

func TestNothingListensAtTheFirstAddress(t *testing.T) {
	t.Parallel()
	second := newNode(t, notFound)
	_, s, _ := open(t, "http://"+freeAddress(t)+","+second.URL, nil)
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
}

func TestEachAddressIsTriedOnceAndTheLastAnswerCounts(t *testing.T) {
	t.Parallel()
	first, second := newNode(t, sealed), newNode(t, hangUp)
	v, s, _ := open(t, first.URL+","+second.URL, nil)
	_, err := s.Lookup(t.Context(), accessToken)
	if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), first.URL+" is sealed") {
		t.Errorf("Lookup = %v, want unavailable, and the sealed server named", err)
	}
	if first.asked.Load() != 1 || second.asked.Load() > 2 { // net/http may repeat one on a connection that was closed
		t.Errorf("asked %d and %d times, want once each", first.asked.Load(), second.asked.Load())
	}
	if got := v.State(); got != vaultkv.StateSealed {
		t.Errorf("State() = %s, want %s", got, vaultkv.StateSealed)
	}
}

// A quota holds on every node: to ask another one would only add to the load.
func TestQuotaIsNoReasonToAskAnotherNode(t *testing.T) {
	t.Parallel()
	first := newNode(t, answer(429, `{"errors":["request path \"kong-auth\": rate limit quota exceeded"]}`))
	second := newNode(t, notFound)
	_, s, _ := open(t, first.URL+","+second.URL, func(c *vaultkv.Config) { c.MaxRetries = 1 })
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrUnavailable) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrUnavailable)
	}
	if first.asked.Load() != 1 || second.asked.Load() != 0 {
		t.Errorf("asked %d and %d times, want only the first, once", first.asked.Load(), second.asked.Load())
	}
}

func TestFirstAddressIsUsedAgainOnceItIsHealthy(t *testing.T) {
	t.Parallel()
	var tokenAtHealth atomic.Bool
	first, second := newNode(t, sealed), newNode(t, notFound)
	v, s, _ := open(t, first.URL+","+second.URL, nil)
	lookup := func() {
		t.Helper()
		if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
			t.Fatalf("Lookup = %v, want %v", err, authz.ErrNotFound)
		}
	}
	lookup()
	v.Maintain(t.Context())
	lookup()
	if got := second.asked.Load(); got != 2 {
		t.Fatalf("the second address was asked %d times while the first is sealed, want 2", got)
	}
	first.become(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/sys/health" {
			tokenAtHealth.Store(r.Header.Get("X-Vault-Token") != "")
			answer(200, `{}`)(w, r)
			return
		}
		notFound(w, r)
	})
	v.Maintain(t.Context())
	lookup()
	if got := second.asked.Load(); got != 2 {
		t.Errorf("the second address was asked %d times after the first came back, want 2", got)
	}
	if tokenAtHealth.Load() {
		t.Error("the question for the health had the Vault token with it")
	}
}

// A write whose answer was lost may have been done.
func TestWritesAreNotRepeated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		first         http.HandlerFunc
		first1, other int32
		ok            bool
	}{
		{"after a lost connection", hangUp, 1, 0, false},
		{"after an internal error", answer(500, `{"errors":["internal error"]}`), 1, 0, false},
		{"after an unavailable proxy", answer(503, `upstream`), 1, 0, false},
		{"but done elsewhere where the first did certainly nothing", sealed, 1, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := newNode(t, tt.first), newNode(t, answer(204, ""))
			v, _, _ := open(t, first.URL+","+second.URL, func(c *vaultkv.Config) { c.MaxRetries = 1 })
			err := v.Write(t.Context(), accessToken, []byte(`{"a":1}`))
			if (err == nil) != tt.ok {
				t.Errorf("Write = %v, want success = %t", err, tt.ok)
			}
			if first.asked.Load() != tt.first1 || second.asked.Load() != tt.other {
				t.Errorf("asked %d and %d times, want %d and %d", first.asked.Load(), second.asked.Load(), tt.first1, tt.other)
			}
		})
	}
}

func TestWriteGoesOnToTheNextAddressWhereNothingListens(t *testing.T) {
	t.Parallel()
	var body atomic.Value
	second := newNode(t, func(w http.ResponseWriter, r *http.Request) {
		raw := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(raw)
		body.Store(string(raw))
		answer(204, "")(w, r)
	})
	v, _, _ := open(t, "http://"+freeAddress(t)+","+second.URL, nil)
	if err := v.Write(t.Context(), accessToken, []byte(`{"a":1}`)); err != nil || body.Load() != `{"a":1}` {
		t.Errorf("Write = %v with body %v, want the body to arrive", err, body.Load())
	}
}

func TestReadIsRepeatedOnceWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a connection that ends": hangUp,
		"an internal error":      answer(500, `{"errors":["internal error"]}`),
		"an answer that is cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write([]byte(`{"data":`))
		},
	} {
		for retries, want := range []error{authz.ErrUnavailable, authz.ErrNotFound} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n := newNode(t, nil)
				n.become(func(w http.ResponseWriter, r *http.Request) {
					n.become(notFound)
					h(w, r)
				})
				_, s, _ := open(t, n.URL, func(c *vaultkv.Config) { c.MaxRetries = retries })
				if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, want) {
					t.Errorf("Lookup with %d retries = %v, want %v", retries, err, want)
				}
			})
		}
	}
}

// TestRedirectToAnAddressOfOursIsFollowed is what a standby does that cannot
// forward.
func TestRedirectToAnAddressOfOursIsFollowed(t *testing.T) {
	t.Parallel()
	active := newNode(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != vaultToken {
			answer(403, `{"errors":["permission denied"]}`)(w, r)
			return
		}
		notFound(w, r)
	})
	standby := newNode(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, s, _ := open(t, standby.URL+","+active.URL, nil)
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
	if active.asked.Load() != 1 {
		t.Errorf("the active node was asked %d times, want once", active.asked.Load())
	}
}

// TestRedirectToSomethingElseIsNotFollowed: what is there is no answer to what was
// asked, be it at an address of ours. That is asked for the same thing.
func TestRedirectToSomethingElseIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"/v1/kong-auth/another", "/v1/kong-auth/" + accessToken + "?version=1", "/v1/other/" + accessToken} {
		var asked atomic.Value
		active := newNode(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.URL.RequestURI())
			notFound(w, r)
		})
		standby := newNode(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, active.URL+to, http.StatusTemporaryRedirect)
		})
		_, s, _ := open(t, standby.URL+","+active.URL, nil)
		if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) || asked.Load() != "/v1/kong-auth/"+accessToken {
			t.Errorf("Lookup with a redirect to %q = %v, and the other address was asked for %v", to, err, asked.Load())
		}
		_, lone, _ := open(t, standby.URL, nil)
		if _, err := lone.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrUnavailable) {
			t.Errorf("Lookup with a redirect to %q = %v, want %v", to, err, authz.ErrUnavailable)
		}
	}
}

// TestRedirectLoopEnds: one redirect is followed, no more.
func TestRedirectLoopEnds(t *testing.T) {
	t.Parallel()
	var n *node
	n = newNode(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, n.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, s, _ := open(t, n.URL, nil)
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrUnavailable) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrUnavailable)
	}
	if got := n.asked.Load(); got != 2 {
		t.Errorf("asked %d times, want twice", got)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "vault.sock")
	v, s, logs := open(t, "unix:"+socket, nil)
	_, err := s.Lookup(t.Context(), accessToken)
	if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("Lookup without a server = %v, want unavailable with a word about the socket", err)
	}
	wantNoTokens(t, err, logs)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(notFound)
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	v.CloseBreaker()
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
}

func TestProxyIsUsedOnlyWhereItIsConfigured(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	proxy := fake(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Host)
		notFound(w, r)
	})
	_, s, _ := open(t, "http://vault.invalid:8200", func(c *vaultkv.Config) { c.Proxy = proxy })
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
	if asked.Load() != "vault.invalid:8200" {
		t.Errorf("the proxy was asked for %v, want vault.invalid:8200", asked.Load())
	}
}

// TestConnectionThatLeadsNowhereIsGivenUp: packets vanish on a connection that
// stays open. The first read on it runs into its timeout; the next ones must not.
func TestConnectionThatLeadsNowhereIsGivenUp(t *testing.T) {
	t.Parallel()
	var stuck atomic.Pointer[string]
	n := newNode(t, func(w http.ResponseWriter, r *http.Request) {
		if at := stuck.Load(); at != nil && *at == r.RemoteAddr {
			hang(w, r)
			return
		}
		stuck.CompareAndSwap(nil, &r.RemoteAddr)
		notFound(w, r)
	})
	_, s, _ := open(t, n.URL, func(c *vaultkv.Config) { c.Timeout = 300 * time.Millisecond })
	for i, want := range []error{authz.ErrNotFound, authz.ErrUnavailable, authz.ErrNotFound, authz.ErrNotFound} {
		if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, want) {
			t.Fatalf("Lookup %d = %v, want %v", i, err, want)
		}
	}
}

// TestConnectionsAreMadeAnew: a name may lead elsewhere by now.
func TestConnectionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		h    http.HandlerFunc
		age  time.Duration
		want int32
	}{
		{"not while all is well", notFound, 30 * time.Second, 1},
		{"after a minute and a bit", notFound, 76 * time.Second, 2},
		{"after an answer that is in doubt", sealed, 3 * time.Second, 2},
		{"but not for each of those", sealed, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var conns atomic.Int32
			srv := httptest.NewUnstartedServer(tt.h)
			srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			srv.Start()
			t.Cleanup(srv.Close)
			address := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
			v, _, _ := open(t, address, nil)
			_ = v.Check(t.Context()) // which, unlike a read, asks for one thing at a time
			v.AgeConnections(tt.age)
			for range 3 {
				_ = v.Check(t.Context())
			}
			if got := conns.Load(); got != tt.want {
				t.Errorf("%d connections were made, want %d", got, tt.want)
			}
		})
	}
}
