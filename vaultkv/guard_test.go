package vaultkv

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// A guardDay is a guard with a clock that the test sets.
type guardDay struct {
	t *testing.T
	g guard
	// at is the time since the beginning.
	at time.Duration
}

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newGuardDay(t *testing.T) *guardDay {
	t.Helper()
	return &guardDay{t: t, g: guard{log: zap.NewNop()}}
}

func (d *guardDay) now() time.Time { return dawn.Add(d.at) }

// read is a read of key that ends in problem at once; it says whether it was let
// through.
func (d *guardDay) read(key string, problem *Error) bool {
	ok, toSee := d.g.enter(d.now())
	if ok {
		d.g.leave(key, toSee, problem, d.now())
	}
	return ok
}

func (d *guardDay) fail(n int) {
	d.t.Helper()
	for i := range n {
		if !d.read(strings.Repeat("k", i+1), fail(StateUnreachable, 0, "gone")) {
			d.t.Fatalf("read %d after %s was held back", i, d.at)
		}
	}
}

func TestReadsAreHeldBackAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		problem *Error
		holds   bool
	}{
		{"no connection, or no answer in time", fail(StateUnreachable, 0, ""), true},
		{"sealed", fail(StateSealed, 503, ""), true},
		{"limited", fail(StateLimited, 429, ""), true},
		{"an internal error", fail(StateFailing, 500, ""), true},
		{"a standby", fail(StateFailing, 473, ""), true},
		{"found or not found", nil, false},
		{"our policies", fail(StateForbidden, 403, ""), false},
		{"our token", fail(StateTokenRejected, 403, ""), true},
		{"no login", fail(StateLoginRefused, 400, ""), true},
		{"a missing mount", fail(StateNoMount, 404, ""), true},
		{"the other KV version", fail(StateWrongVersion, 404, ""), true},
		{"a record that is too large", fail(StateFailing, 0, ""), false},
		{"a caller who gave up", &Error{State: StateUnreachable, aside: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newGuardDay(t)
			for i := range 2 * guardPatience {
				d.read(strings.Repeat("k", i+1), tt.problem)
			}
			if got := d.g.state(); got.Holding != tt.holds || (got.Held == guardPatience) != tt.holds {
				t.Errorf("after %d reads: %+v, want holding = %t", 2*guardPatience, got, tt.holds)
			}
		})
	}
}

func TestOneAnswerInBetweenIsEnoughNotToHoldBack(t *testing.T) {
	t.Parallel()
	d := newGuardDay(t)
	for range 10 {
		d.fail(guardPatience - 1)
		d.read("x", nil)
	}
	if got := d.g.state(); got.Holding {
		t.Errorf("%+v, want not holding", got)
	}
}

// TestRecordThatTheServerFailsAtDoesNotHoldOthersBack: KV v2 answers 500 for a
// record whose deletion was cut short.
func TestRecordThatTheServerFailsAtDoesNotHoldOthersBack(t *testing.T) {
	t.Parallel()
	d := newGuardDay(t)
	for range 100 {
		d.read("broken", fail(StateFailing, 500, "could not find version data"))
	}
	if got := d.g.state(); got.Holding {
		t.Errorf("%+v, want not holding", got)
	}
}

func TestOnlyOneReadGoesToSee(t *testing.T) {
	t.Parallel()
	d := newGuardDay(t)
	d.fail(guardPatience)
	d.at += guardPause + guardPause/5
	ok, toSee := d.g.enter(d.now())
	if !ok || !toSee {
		t.Fatalf("enter after the pause = %t, %t, want one to go and see", ok, toSee)
	}
	// However long it takes, nobody else goes.
	for range 100 {
		d.at += time.Second
		if d.read("x", nil) {
			t.Fatal("a second read was let through while one is under way to see")
		}
	}
	d.g.leave("x", true, nil, d.now())
	d.fail(guardPatience - 1) // all is as at first
}

// TestNewTokenIsTriedAtOnce: the reads were held back because of the one before.
func TestNewTokenIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	var token atomic.Value
	token.Store("good")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusNotFound, `{"errors":[]}`
		if r.Header.Get("X-Vault-Token") != token.Load() {
			status, body = http.StatusForbidden, `{"errors":["permission denied"]}`
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	file := t.TempDir() + "/token"
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bad")
	c := DefaultConfig()
	c.Name, c.Address, c.Mount, c.TokenFile = "main", srv.URL, "kong-auth", file
	v, err := New(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.closeIdle)
	for i := range 2 * guardPatience {
		if _, _, err := v.Read(t.Context(), strings.Repeat("k", i+1)); err == nil {
			t.Fatal("a read with a bad token brought an answer")
		}
	}
	if got := v.Guarding(); !got.Holding {
		t.Fatalf("%+v after reads with a bad token, want holding", got)
	}
	write("good")
	if !v.session.reload() {
		t.Fatal("the token in the file was not taken")
	}
	if _, found, err := v.Read(t.Context(), "foo"); found || err != nil {
		t.Errorf("the first read with the new token = %t, %v, want not found", found, err)
	}
	if got := v.Guarding(); got.Holding {
		t.Errorf("%+v with a good token, want not holding", got)
	}
}

func TestServerIsAskedAgainWithinABoundAndLessAndLess(t *testing.T) {
	t.Parallel()
	const bound = maxGuardPause + maxGuardPause/5
	d := newGuardDay(t)
	d.fail(guardPatience)
	seen, longest, last := 0, time.Duration(0), time.Duration(0)
	for ; d.at < time.Minute; d.at += time.Millisecond {
		if d.read("x", fail(StateSealed, 503, "")) {
			seen, longest, last = seen+1, max(longest, d.at-last), d.at
		}
	}
	if longest > bound+time.Millisecond || seen < 50 || seen > 65 {
		t.Errorf("asked %d times in a minute, up to %s apart; want about 55, at most %s apart", seen, longest, bound)
	}
	for !d.read("x", nil) {
		d.at += time.Millisecond
	}
	if late := d.at - time.Minute; late > bound {
		t.Errorf("the server was back for %s before that was noticed, want at most %s", late, bound)
	}
}

// TestReadThatLearnedNothingDoesNotKeepOthersFromSeeing: it was cancelled, or
// panicked.
func TestReadThatLearnedNothingDoesNotKeepOthersFromSeeing(t *testing.T) {
	t.Parallel()
	d := newGuardDay(t)
	d.fail(guardPatience)
	d.at += time.Second
	for range 2 {
		if !d.read("x", &Error{aside: true}) {
			t.Fatal("held back, want it to go and see")
		}
	}
}

// TestOutageCostsFewRequests is the guard in its place: many reads while the
// server is sealed, and the first after it is not.
func TestOutageCostsFewRequests(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var sealed atomic.Bool
	sealed.Store(true)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		status, body := http.StatusNotFound, `{"errors":[]}`
		if sealed.Load() {
			status, body = http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	c := DefaultConfig()
	c.Name, c.Address, c.Mount, c.Token = "main", srv.URL, "kong-auth", "t"
	v, err := New(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.closeIdle)
	begin := time.Now()
	for range 1000 {
		_, _, err := v.Read(t.Context(), "foo")
		var problem *Error
		if !errors.As(err, &problem) || problem.State != StateSealed {
			t.Fatalf("Read = %v, want an error of state %s", err, StateSealed)
		}
	}
	allowed := guardPatience + int32(time.Since(begin)/guardPause) + 1
	if got := asked.Load(); got > allowed {
		t.Errorf("the sealed server was asked %d times by 1000 reads, want at most %d", got, allowed)
	}
	if got := v.State(); got != StateSealed {
		t.Errorf("State() = %s, want %s", got, StateSealed)
	}
	sealed.Store(false)
	if err := v.Check(context.WithoutCancel(t.Context())); err != nil {
		t.Fatalf("Check = %v, want it not to be held back", err)
	}
	if _, found, err := v.Read(t.Context(), "foo"); found || err != nil {
		t.Errorf("Read after Check = %t, %v, want not found", found, err)
	}
}
