package gateways

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
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
