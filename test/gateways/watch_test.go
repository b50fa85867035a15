package gateways

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A watch sends requests without tokens all the time, each on a new connection.
type watch struct {
	stop  context.CancelFunc
	ended chan struct{}
	// got are the answers, in the order of time.
	got []answers
}

// answers are answers in a row with the same status. It is 0 for a request without an answer.
type answers struct {
	after         time.Duration
	status, count int
}

// watch begins to send requests for a path.
func (*site) watch(t *testing.T, address, path string) *watch {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &watch{stop: stop, ended: make(chan struct{})}
	client, started := clients()["HTTP1"], time.Now()
	go func() {
		defer close(w.ended)
		for every := time.NewTicker(2 * time.Millisecond); ; <-every.C {
			got, err := parts.Send(ctx, client, address, parts.Request{Host: host, Target: path})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				got.Status = 0
			}
			if n := len(w.got); n == 0 || w.got[n-1].status != got.Status {
				w.got = append(w.got, answers{time.Since(started), got.Status, 0})
			}
			w.got[len(w.got)-1].count++
		}
	}()
	t.Cleanup(w.end)
	return w
}

// end stops the requests. After it the answers may be read.
func (w *watch) end() {
	w.stop()
	<-w.ended
}

// passed says whether a request passed.
func (w *watch) passed() bool {
	for _, a := range w.got {
		if a.status == http.StatusOK {
			return true
		}
	}
	return false
}

func (w *watch) String() string {
	var all []string
	for _, a := range w.got {
		all = append(all, fmt.Sprintf("%d from %s (%d times)", a.status, a.after.Round(time.Millisecond), a.count))
	}
	return strings.Join(all, ", ")
}

// idle opens a connection with each version of HTTP, by a request for a path, and returns a
// client for each.
func (*site) idle(t *testing.T, address, path string) map[string]*http.Client {
	t.Helper()
	all := clients()
	for _, client := range all {
		client.Transport.(*http.Transport).DisableKeepAlives = false
		t.Cleanup(client.CloseIdleConnections)
		_, err := parts.Send(t.Context(), client, address, parts.Request{Host: host, Target: path})
		must(t, err)
	}
	return all
}

// checkOld sends requests on a connection from before a change. If first is a status, then the
// first request gets it, and the connection is not used again; else it gets what a new connection
// gets. It has forged identities. What it got is returned.
func (*site) checkOld(t *testing.T, address, version string, client *http.Client, path string, first int) parts.Response {
	t.Helper()
	ask := func() (got parts.Response, old bool) {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { old = i.Reused }})
		got, err := parts.Send(ctx, client, address, parts.Request{Host: host, Target: path, Header: []parts.Field{{Name: "X-Consumer-Username", Value: "forged"}, {Name: "x.consumer.id", Value: "forged"}}})
		must(t, err)
		return got, old
	}
	after, err := send(t, clients()[version], address, parts.Request{Host: host, Target: path}, nil)
	must(t, err)
	want := cmp.Or(first, after.Status)
	got, old := ask()
	// A check that Envoy no longer has a cluster for denies.
	if !old || got.Status != want && (first != 0 || got.Status != http.StatusServiceUnavailable) {
		t.Errorf("%s: the first request on the old connection (%t): status = %d, want %d", version, old, got.Status, want)
	}
	if second, old := ask(); second.Status != after.Status || first != 0 && old {
		t.Errorf("%s: the second request: status = %d, want %d; on the same connection: %t", version, second.Status, after.Status, old)
	}
	return got
}

// checkLater adds later.example.com to a gateway, which must check it from its first request on.
func (s *site) checkLater(t *testing.T, address string, add func()) {
	t.Helper()
	later := parts.Request{Host: "later.example.com", Target: "/later"}
	idle := s.idle(t, address, "/catalogue")
	add()
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		got, err := parts.Send(ctx, clients()["HTTP1"], address, later)
		switch {
		case err != nil || got.Status == http.StatusUnauthorized:
			return err
		case got.Status == http.StatusNotFound:
			return errors.New("there is no route yet")
		}
		t.Fatalf("status = %d before it is 401", got.Status)
		return nil
	})
	for version, client := range idle {
		got, err := parts.Send(t.Context(), client, address, later)
		must(t, err)
		if got.Status != http.StatusUnauthorized {
			t.Errorf("%s: on a connection from before, status = %d, want 401", version, got.Status)
		}
	}
}
