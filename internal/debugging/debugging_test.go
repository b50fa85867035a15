package debugging

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/internal/logging"
)

// audited collects audit lines. It is safe for concurrent use, except for err.
type audited struct {
	err error

	mu   sync.Mutex
	kept []string
}

func (a *audited) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.kept)
}

func (a *audited) write(_ context.Context, _ zapcore.Level, message string, fields ...zapcore.Field) error {
	for _, f := range fields {
		if slices.Contains([]string{"level", "time", "logger", "message"}, f.Key) {
			return errors.New("a line has the field " + f.Key + " already")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.kept = append(a.kept, message)
	}
	return a.err
}

func current(l *logging.Level) zapcore.Level {
	level, _, _ := l.State()
	return level
}

func call(h http.Handler, method, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOnlyThisMachineMayDebugUnlessSaidOtherwise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		local  bool
	}{
		{"loopback", func(*http.Request) {}, true},
		{"loopback of IPv6", func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:1", "[::1]:9193" }, true},
		{"a socket", func(r *http.Request) {
			r.RemoteAddr, r.Host = "@", "whatever"
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/probes"}))
		}, true},
		{"another machine", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, false},
		{"no address", func(r *http.Request) { r.RemoteAddr = "" }, false},
		{"a proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, false},
		{"a mesh", func(r *http.Request) { r.RemoteAddr = "127.0.0.6:1"; r.Header.Set("X-Request-Id", "1") }, false},
		{"a browser with a page of another name", func(r *http.Request) { r.Host = "evil.example:9193" }, false},
		{"a browser with a page of another origin", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, false},
	} {
		for _, remote := range []bool{false, true} {
			audit, level := &audited{}, logging.NewLevel(zap.InfoLevel)
			h := NewHandler(Options{Remote: remote, Config: func() ([]byte, error) { return []byte("vaults: []\n"), nil }, Level: level, Audit: audit.write})
			for _, c := range []struct{ method, target string }{
				{"GET", "/debug/pprof/"}, {"GET", "/debug/pprof/heap"}, {"GET", "/debug/config"}, {"GET", "/debug/log-level"}, {"PUT", "/debug/log-level?level=debug"},
			} {
				want := http.StatusOK
				if !remote && !test.local {
					want = http.StatusForbidden
				}
				if got := call(h, c.method, c.target, test.change); got.Code != want {
					t.Errorf("%s, remote %t: %s %s: status = %d, want %d", test.name, remote, c.method, c.target, got.Code, want)
				}
			}
			if changed := current(level) == zap.DebugLevel; changed != (remote || test.local) || changed != (len(audit.lines()) == 1) {
				t.Errorf("%s, remote %t: the level is %s, and the audit log has %q", test.name, remote, current(level), audit.lines())
			}
		}
	}
}

func TestTheLevelReturnsByItselfToWhatIsConfiguredByThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		audit, level := &audited{}, logging.NewLevel(zap.WarnLevel)
		h := NewHandler(Options{Level: level, Audit: audit.write})
		want := func(want zapcore.Level, lines int) {
			t.Helper()
			synctest.Wait()
			if current(level) != want || len(audit.lines()) != lines {
				t.Errorf("after %q: level %s, want %s and %d lines", audit.lines(), current(level), want, lines)
			}
		}
		call(h, "PUT", "/debug/log-level?level=debug&for=1m")
		want(zap.DebugLevel, 1)
		time.Sleep(30 * time.Second)
		if got := call(h, "PUT", "/debug/log-level?level=info").Body.String(); !strings.Contains(got, "info until") || !strings.Contains(got, "then warn") {
			t.Errorf("got %q", got)
		}
		level.Configure(zap.ErrorLevel)
		if got := call(h, "GET", "/debug/log-level").Body.String(); !strings.Contains(got, "info until") || !strings.Contains(got, "then error") {
			t.Errorf("after a reload: got %q", got)
		}
		time.Sleep(9 * time.Minute)
		want(zap.InfoLevel, 2) // the first span is over, and does not count
		time.Sleep(time.Minute)
		want(zap.ErrorLevel, 3)
		if got := call(h, "GET", "/debug/log-level").Body.String(); got != "error (as configured)\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestTheLevelStaysWhereItCannotBeChanged(t *testing.T) {
	t.Parallel()
	audit, level := &audited{}, logging.NewLevel(zap.InfoLevel)
	h := NewHandler(Options{Level: level, Audit: audit.write})
	for _, bad := range []string{"", "?level=", "?level=loud", "?level=fatal", "?level=debug&for=0s", "?level=debug&for=-1m", "?level=debug&for=25h", "?level=debug&for=long"} {
		if got := call(h, "PUT", "/debug/log-level"+bad); got.Code != http.StatusBadRequest {
			t.Errorf("%q: status = %d, want 400", bad, got.Code)
		}
	}
	audit.err = errors.New("full")
	if got := call(h, "PUT", "/debug/log-level?level=debug"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("without an audit record: status = %d, want 503", got.Code)
	}
	if current(level) != zap.InfoLevel || len(audit.lines()) != 0 {
		t.Errorf("the level is %s, and the audit log has %q", current(level), audit.lines())
	}
}

func TestProfilesMayTakeLongerThanOtherAnswers(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(NewHandler(Options{Level: logging.NewLevel(zap.InfoLevel), Audit: (&audited{}).write}))
	srv.Config.WriteTimeout = 500 * time.Millisecond
	srv.Start()
	defer srv.Close()
	for target, want := range map[string]int{
		"/debug/pprof/trace?seconds=1": http.StatusOK, "/debug/pprof/trace?seconds=301": http.StatusBadRequest, "/debug/pprof/profile?seconds=x": http.StatusBadRequest,
		"/debug/pprof/cmdline": http.StatusNotFound, // it may have a secret
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status = %d, want %d", target, resp.StatusCode, want)
		}
	}
}
