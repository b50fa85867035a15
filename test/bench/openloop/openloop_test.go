package openloop

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// caller is a server behind any number of connections.
type caller struct {
	call   func(n int) error
	calls  *atomic.Int64
	closed *atomic.Int64
}

func (c caller) Call(context.Context) error { return c.call(int(c.calls.Add(1))) }
func (c caller) Close() error               { c.closed.Add(1); return nil }

func onFakeClock(t *testing.T, c Config, call func(n int) error) (r Result, closed int) {
	t.Helper()
	one := caller{call, new(atomic.Int64), new(atomic.Int64)}
	r, err := run(t.Context(), c, func(context.Context) (Caller, error) { return one, nil }, paced(time.Sleep))
	if err != nil {
		t.Fatal(err)
	}
	return r, int(one.closed.Load())
}

// The property that the package is there for.
func TestAStallCountsForEveryRequestThatItKeptWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// One connection, a request every 10 ms, each answered in 1 ms; the
		// first takes a second.
		r, _ := onFakeClock(t, Config{Rate: 100, Duration: 5 * time.Second, Connections: 1}, func(n int) error {
			if n == 1 {
				time.Sleep(time.Second)
				return nil
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		if len(r.Latencies) != 500 || r.Failed != 0 {
			t.Fatalf("%d answered, %d failed; want 500 and 0", len(r.Latencies), r.Failed)
		}
		// The queue of 100 shrinks by 9 ms a request: a fifth waited.
		if got := r.Percentile(0.5); got != time.Millisecond {
			t.Errorf("p50: got %s, want 1ms", got)
		}
		if got := r.Percentile(0.9); got < 400*time.Millisecond {
			t.Errorf("p90: got %s, want more than 400ms: the requests that were kept waiting are missing", got)
		}
		if got := r.Percentile(1); got != time.Second {
			t.Errorf("the slowest: got %s, want 1s", got)
		}
	})
}

func TestRequestsLeaveOnScheduleWhateverTheAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var late atomic.Int64
		r, closed := onFakeClock(t, Config{Rate: 10, Duration: 2 * time.Second, Connections: 20}, func(n int) error {
			if time.Since(start) != time.Duration(n-1)*100*time.Millisecond {
				late.Add(1)
			}
			time.Sleep(time.Minute)
			return nil
		})
		if late.Load() != 0 || len(r.Latencies) != 20 || r.Percentile(1) != time.Minute || r.Lag != 0 {
			t.Errorf("%d of 20 late, %d answered, slowest %s, lag %s; want 0, 20, 1m, 0", late.Load(), len(r.Latencies), r.Percentile(1), r.Lag)
		}
		if closed != 20 {
			t.Errorf("%d of 20 connections closed", closed)
		}
	})
}

func TestFailuresAreNoLatencies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		r, _ := onFakeClock(t, Config{Rate: 10, Duration: time.Second, Connections: 2}, func(n int) error {
			if n%2 == 0 {
				return refused
			}
			return nil
		})
		if r.Failed != 5 || len(r.Latencies) != 5 || !errors.Is(r.Err, refused) {
			t.Errorf("failed %d (%v), answered %d; want 5 and 5", r.Failed, r.Err, len(r.Latencies))
		}
	})
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	r := Result{Latencies: []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 5, 0.51: 6, 0.99: 10, 1: 10} {
		if got := r.Percentile(share); got != want {
			t.Errorf("percentile %g: got %d, want %d", share, got, want)
		}
	}
	if got := (&Result{}).Percentile(0.5); got != 0 {
		t.Errorf("percentile of nothing: got %s, want 0", got)
	}
}

// On the real clock: as many as were asked for, and none early.
func TestThePaceIsThatOfTheClock(t *testing.T) {
	t.Parallel()
	start, sent := time.Now(), 0
	pace(t.Context(), start, 100, 1000, func(due time.Time) {
		sent++
		if time.Now().Before(due.Add(-100 * time.Microsecond)) {
			t.Errorf("request %d left %s early", sent, time.Until(due))
		}
	})
	if took := time.Since(start); sent != 100 || took < 98*time.Millisecond {
		t.Errorf("%d requests in %s, want 100 in at least 99 ms", sent, took)
	}
}

func TestHTTPKeepsItsConnectionAndChecksTheStatus(t *testing.T) {
	t.Parallel()
	var connections, withToken atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "api.test" && r.URL.Path == "/orders" && r.Header.Get("Access-Token") == "a" {
			withToken.Add(1)
		}
		switch r.URL.Query().Get("answer") {
		case "close":
			w.Header().Set("Connection", "close")
		case "deny":
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(strings.Repeat("x", 10_000)))
	}))
	defer srv.Close()
	for _, c := range []struct {
		name, path        string
		failed, connected int64
	}{
		{"kept open", "/orders", 0, 2},
		{"closed by the server", "/orders?answer=close", 0, 20},
		{"another status", "/orders?answer=deny", 20, 2},
	} {
		// One after the other: they share the server's counters.
		connections.Store(0)
		withToken.Store(0)
		client := HTTP{
			Address: srv.Listener.Addr().String(), Host: "api.test", Path: c.path, Status: http.StatusOK,
			Header: http.Header{"Access-Token": {"a"}}, Timeout: 10 * time.Second,
		}
		connect := client.Connect()
		dialled := func(ctx context.Context) (Caller, error) {
			caller, err := connect(ctx)
			return counted{caller.(*connection), &connections}, err
		}
		r, err := Run(t.Context(), Config{Rate: 200, Duration: 100 * time.Millisecond, Connections: 2}, dialled)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if int64(r.Failed) != c.failed || len(r.Latencies)+r.Failed != 20 || withToken.Load() != 20 {
			t.Errorf("%s: failed %d (%v), answered %d, with the header %d; want %d failed of 20", c.name, r.Failed, r.Err, len(r.Latencies), withToken.Load(), c.failed)
		}
		if got := connections.Load(); c.connected == 2 && got != 0 || c.connected > 2 && got == 0 {
			t.Errorf("%s: connected again %d times", c.name, got)
		}
	}
}

// counted counts how often a connection has to be made again.
type counted struct {
	*connection
	again *atomic.Int64
}

func (c counted) Call(ctx context.Context) error {
	if c.conn == nil {
		c.again.Add(1)
	}
	return c.connection.Call(ctx)
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{},
		{Rate: -1, Duration: time.Second, Connections: 1},
		{Rate: 100, Connections: 1},
		{Rate: 100, Duration: time.Second},
		{Rate: 1, Duration: time.Millisecond, Connections: 1},
		{Rate: 1e6, Duration: 24 * time.Hour, Connections: 1},
	} {
		if _, err := Run(t.Context(), c, nil); err == nil {
			t.Errorf("%+v was run", c)
		}
	}
}
