package vaultkv_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// Each answer that is no credential says what happened and what to do, and is
// logged once however often it comes.
func TestAnswersSayWhatToDo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, kv string
		handler  http.HandlerFunc
		state    vaultkv.State
		want     []string
	}{
		{"sealed", "v1", sealed, vaultkv.StateSealed, []string{"is sealed; unseal it"}},
		{"not initialised", "v1", uninitialised, vaultkv.StateSealed, []string{"is not initialised", "initialise and unseal it"}},
		{"no mount", "v1", answer(404, `{"errors":["no handler for route \"kong-auth/x\". route entry not found."]}`), vaultkv.StateNoMount, []string{`no KV engine at mount "kong-auth"`, "enable one there"}},
		{"the other version", "v1", answer(404, `{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}`), vaultkv.StateWrongVersion, []string{"set kv: v2"}},
		{"an engine of another type", "v1", transit, vaultkv.StateNoMount, []string{`the engine at mount "kong-auth" is of the type "transit", not kv`, "correct mount"}},
		{"an engine of another type, read as v2", "v2", transit, vaultkv.StateNoMount, []string{`is of the type "transit", not kv`}},
		{"an engine that does not read", "v1", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/sys/") {
				transit(w, r)
				return
			}
			answer(405, `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`)(w, r)
		}, vaultkv.StateNoMount, []string{`is of the type "transit", not kv`}},
		{"a 404 with an error, of an engine that is not known", "v1", answer(404, unsupportedPath), vaultkv.StateFailing, []string{"answers 404 with an error", `a KV engine at mount "kong-auth"`}},
		{"our token", "v1", answer(403, `{"errors":["permission denied"]}`), vaultkv.StateTokenRejected, []string{"does not accept the Vault token"}},
		{"our policies", "v1", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "lookup-self") {
				answer(200, `{"data":{}}`)(w, r)
				return
			}
			answer(403, `{"errors":["permission denied"]}`)(w, r)
		}, vaultkv.StateForbidden, []string{"add to one of them", `path "kong-auth/+"`}},
		{"a quota", "v1", answer(429, `{"errors":["rate limit quota exceeded"]}`), vaultkv.StateLimited, []string{"raise its rate limit quota"}},
		{"a standby", "v1", answer(473, ``), vaultkv.StateFailing, []string{"standby", "addresses"}},
		{"a node that lags behind", "v1", answer(412, ``), vaultkv.StateFailing, []string{"lags behind", "passes by itself"}},
		{"a redirect to elsewhere", "v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/v1/x")
			w.WriteHeader(307)
		}, vaultkv.StateFailing, []string{"redirects (307) to another host", "add that host to addresses"}},
		{"plain HTTP to a port for TLS, Go", "v1", answer(400, "Client sent an HTTP request to an HTTPS server.\n"), vaultkv.StateUnreachable, []string{"speaks TLS on that port", "https://"}},
		{"plain HTTP to a port for TLS, nginx", "v1", answer(400, "<html>The plain HTTP request was sent to HTTPS port</html>"), vaultkv.StateUnreachable, []string{"speaks TLS on that port"}},
		{"a page for people", "v1", answer(200, "<!doctype html><title>Log in</title>"), vaultkv.StateFailing, []string{"a page for people", "proxy or login page"}},
		{"a page for people that is not found", "v1", answer(404, "\n <html>"), vaultkv.StateFailing, []string{"a page for people"}},
		{"a firewall", "v1", answer(403, "<html>blocked</html>"), vaultkv.StateFailing, []string{"a page for people", "stands in front of it"}},
		{"a load balancer without servers", "v1", answer(503, "<html>no server available</html>"), vaultkv.StateFailing, []string{"something in front of the server", "status 503"}},
		{"an answer that is not Vault's", "v1", answer(200, `{"hello":"world"}`), vaultkv.StateFailing, []string{"does not answer like Vault"}},
		{"an answer that is cut off", "v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write([]byte("{"))
		}, vaultkv.StateUnreachable, []string{"closed the connection before its answer was complete"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := fake(t, tt.handler)
			v, s, logs := open(t, url, func(c *vaultkv.Config) { c.KV = tt.kv })
			if tt.name == "not initialised" {
				_ = v.Check(t.Context())
				logs.TakeAll()
			}
			_, err := s.Lookup(t.Context(), accessToken)
			for range 2 {
				_, _ = s.Lookup(t.Context(), accessToken)
			}
			for _, want := range tt.want {
				if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), want) {
					t.Errorf("Lookup = %v, want unavailable with %q", err, want)
				}
			}
			if got := v.State(); got != tt.state {
				t.Errorf("State() = %s, want %s", got, tt.state)
			}
			changes := logs.FilterMessage("vault state changed").All()
			if len(changes) != 1 || !strings.Contains(fmt.Sprint(changes[0].ContextMap()["detail"]), tt.want[0]) {
				t.Errorf("log:\n%s\nwant one line about the state with %q", strings.Join(lines(logs), "\n"), tt.want[0])
			}
			wantNoTokens(t, err, logs)
		})
	}
}

func uninitialised(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/sys/seal-status" {
		answer(200, `{"type":"shamir","initialized":false,"sealed":true}`)(w, r)
		return
	}
	sealed(w, r)
}

const unsupportedPath = `{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}`

func transit(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/") {
		answer(200, `{"data":{"type":"transit","options":{}}}`)(w, r)
		return
	}
	answer(404, unsupportedPath)(w, r)
}

// TestTwoReasonsInOneStateAreTwoLines: what there is to do about it has changed.
func TestTwoReasonsInOneStateAreTwoLines(t *testing.T) {
	t.Parallel()
	n := newNode(t, answer(502, ``))
	v, _, logs := open(t, n.URL, nil)
	for _, h := range []http.HandlerFunc{answer(502, `<html>`), answer(473, ``), notFound} {
		n.become(h)
		for range 3 {
			_ = v.Check(t.Context()) // the guard does not hold it back
		}
	}
	if got := logs.FilterMessage("vault state changed").Len(); got != 3 {
		t.Errorf("log:\n%s\nwant three lines", strings.Join(lines(logs), "\n"))
	}
}

// TestReasonsThatComeByTurnsAreToldOnce: one cause, such as a load balancer that
// is overloaded, shows in many ways.
func TestReasonsThatComeByTurnsAreToldOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t, notFound)
	v, _, logs := open(t, n.URL, nil)
	read := func(h http.HandlerFunc) {
		n.become(h)
		_ = v.Check(t.Context()) // the guard does not hold it back
	}
	outage := func() int {
		logs.TakeAll()
		for range 20 {
			for _, status := range []int{500, 502, 504, 507} {
				read(answer(status, ``))
			}
			read(answer(502, `<html>`))
		}
		return logs.FilterMessage("vault state changed").Len()
	}
	for range 2 {
		if got := outage(); got != 2 {
			t.Errorf("log:\n%s\nwant two lines, one for each kind of answer", strings.Join(lines(logs), "\n"))
		}
		read(notFound)
	}
}
