package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A breakerDay is a circuit breaker with a clock that the test sets.
type breakerDay struct {
	t *testing.T
	b *breaker
	// at is the time since the beginning.
	at time.Duration
	// probes counts the probes, which end in probe at once.
	probes int
	probe  *Error
}

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newBreakerDay(t *testing.T) *breakerDay {
	t.Helper()
	return &breakerDay{t: t, b: newBreaker(zap.NewNop())}
}

func (d *breakerDay) now() time.Time { return dawn.Add(d.at) }

// read is a read that ends in problem at once; it says whether it was let through.
func (d *breakerDay) read(problem *Error) bool {
	ok, probe := d.b.allow(d.now())
	if probe {
		d.probes++
		ok = d.b.probed(d.probe, d.now())
	}
	if ok && problem != nil && problem.systemic() && d.b.failed(d.now()) {
		d.probes++
		d.b.probed(d.probe, d.now())
	}
	return ok
}

func (d *breakerDay) open() {
	d.t.Helper()
	d.probe = fail(StateUnreachable, 0, "gone")
	if d.read(d.probe); !d.b.status().Open {
		d.t.Fatal("closed after a read and a probe that failed")
	}
}

func TestBreakerOpensWhenAProbeFailsToo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		problem *Error
		opens   bool
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
		{"a caller who gave up", &Error{State: StateUnreachable, inconclusive: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newBreakerDay(t)
			d.probe = tt.problem
			d.read(fail(StateUnreachable, 0, "gone"))
			if got := d.b.status(); got.Open != tt.opens {
				t.Errorf("after a probe that ended so: %+v, want open = %t", got, tt.opens)
			}
		})
	}
}

// TestFailingReadsLeaveTheBreakerClosedWhileProbesAreAnswered: the server fails at keys
// that somebody makes up, or at some records, and is well.
func TestFailingReadsLeaveTheBreakerClosedWhileProbesAreAnswered(t *testing.T) {
	t.Parallel()
	d := newBreakerDay(t)
	for ; d.at < time.Minute; d.at += time.Millisecond {
		if !d.read(fail(StateFailing, 500, "the storage refuses the name")) {
			t.Fatalf("a read was rejected after %s", d.at)
		}
	}
	if most := int(time.Minute/probeWait) + 1; d.probes > most {
		t.Errorf("%d probes in a minute, want at most %d", d.probes, most)
	}
}

// TestOnlyAProbeLetsReadsThroughAgain: none goes through meanwhile, so that a client
// does not decide what is learned.
func TestOnlyAProbeLetsReadsThroughAgain(t *testing.T) {
	t.Parallel()
	d := newBreakerDay(t)
	d.open()
	for range 10_000 {
		d.at += time.Millisecond
		if d.read(nil) {
			t.Fatal("a read was let through while no probe was answered")
		}
	}
	d.probe = nil
	for !d.read(nil) {
		d.at += time.Millisecond
	}
	if late := d.at - 10*time.Second; late > maxProbeWait+time.Millisecond {
		t.Errorf("reads were rejected for %s after the server was back", late)
	}
}

func TestThereIsOneProbeAtATime(t *testing.T) {
	t.Parallel()
	d := newBreakerDay(t)
	d.open()
	d.at += probeWait
	if ok, probe := d.b.allow(d.now()); ok || !probe {
		t.Fatalf("enter after the pause = %t, %t, want a probe", ok, probe)
	}
	// However long it takes.
	for range 100 {
		d.at += time.Second
		if ok, probe := d.b.allow(d.now()); ok || probe {
			t.Fatalf("enter during a probe = %t, %t, want neither", ok, probe)
		}
	}
	d.b.probed(nil, d.now())
	if ok, _ := d.b.allow(d.now()); !ok {
		t.Error("rejected after a probe was answered")
	}
}

// TestNewTokenIsTriedAtOnce: the breaker is open because of the one before.
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
	t.Cleanup(v.CloseIdle)
	if _, _, err := v.Read(t.Context(), "foo"); err == nil {
		t.Fatal("a read with a bad token brought an answer")
	}
	awaitOpen(t, v, true)
	write("good")
	if !v.session.Replace(t.Context(), "bad", &login.Answer{}) {
		t.Fatal("the token in the file was not taken")
	}
	if _, found, err := v.Read(t.Context(), "foo"); found || err != nil {
		t.Errorf("the first read with the new token = %t, %v, want not found", found, err)
	}
	if got := v.Breaker(); got.Open {
		t.Errorf("%+v with a good token, want it closed", got)
	}
}

func TestServerIsAskedAgainWithinABoundAndLessAndLess(t *testing.T) {
	t.Parallel()
	const bound = maxProbeWait
	d := newBreakerDay(t)
	d.open()
	d.probes = 0
	seen, longest, last := 0, time.Duration(0), time.Duration(0)
	for ; d.at < time.Minute; d.at += time.Millisecond {
		if d.read(nil); d.probes > seen {
			seen, longest, last = d.probes, max(longest, d.at-last), d.at
		}
	}
	if longest > bound+time.Millisecond || seen < 55 || seen > 85 {
		t.Errorf("asked %d times in a minute, up to %s apart; want about 66, at most %s apart", seen, longest, bound)
	}
}

// TestProbeFromBeforeANewTokenOpensNothing: it was sent with the one before.
func TestProbeFromBeforeANewTokenOpensNothing(t *testing.T) {
	t.Parallel()
	rejected := fail(StateTokenRejected, 403, "")
	d := newBreakerDay(t)
	if !d.b.failed(d.now()) {
		t.Fatal("no probe is due")
	}
	d.b.reset()
	if ok := d.b.probed(rejected, d.now()); !ok {
		t.Error("a probe from before opens the breaker")
	}
	if d.probe = rejected; !d.read(rejected) || !d.b.status().Open {
		t.Error("a probe with the new token, which is rejected too, leaves the breaker closed")
	}
}

// TestProbeThatLearnedNothingChangesNothing: it panicked, say.
func TestProbeThatLearnedNothingChangesNothing(t *testing.T) {
	t.Parallel()
	d := newBreakerDay(t)
	d.open()
	d.probe = &Error{inconclusive: true}
	d.at += time.Second
	for want := 2; want < 4; want++ {
		if d.read(nil) || d.probes != want {
			t.Fatalf("%d probes, want %d and no read let through", d.probes, want)
		}
	}
}

// TestOutageCostsFewRequests is the breaker in its place: many reads while the
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
	t.Cleanup(v.CloseIdle)
	// Those before the first probe is over.
	begin, firstReads := time.Now(), int32(0)
	for range 1000 {
		if !v.Breaker().Open {
			firstReads++
		}
		_, _, err := v.Read(t.Context(), "foo")
		var problem *Error
		if !errors.As(err, &problem) || problem.State != StateSealed {
			t.Fatalf("Read = %v, want an error of state %s", err, StateSealed)
		}
	}
	allowed := firstReads + probeReads*(int32(time.Since(begin)/(probeWait/2))+1) // jitter takes up to a half off a wait
	if got := asked.Load(); got > allowed {
		t.Errorf("the sealed server was asked %d times by 1000 reads, want at most %d", got, allowed)
	}
	if got := v.State(); got != StateSealed {
		t.Errorf("State() = %s, want %s", got, StateSealed)
	}
	sealed.Store(false)
	if err := v.Check(t.Context()); err != nil {
		t.Fatalf("Check = %v, want it not to be rejected", err)
	}
	if _, found, err := v.Read(t.Context(), "foo"); found || err != nil {
		t.Errorf("Read after Check = %t, %v, want not found", found, err)
	}
}

// TestServerThatHangsIsFoundOutSoonAfterTheFirstReadsFail: the probe does not wait for
// them to fail.
func TestServerThatHangsIsFoundOutSoonAfterTheFirstReadsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.Name, c.Address, c.Mount, c.Token = "main", "http://vault.example:8200", "kong-auth", "t"
		v, err := New(c, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		v.SetDial(func(context.Context, string, string) (net.Conn, error) {
			<-over
			return nil, net.ErrClosed
		})
		began := time.Now()
		for range 20 {
			go func() { _, _, _ = v.Read(t.Context(), "foo") }()
		}
		for !v.Breaker().Open {
			time.Sleep(10 * time.Millisecond)
		}
		if got, most := time.Since(began), c.Timeout+c.Timeout/slowPart+20*time.Millisecond; got > most {
			t.Errorf("the breaker opened after %s, want at most %s", got, most)
		}
		time.Sleep(c.Timeout)
		close(over)
		synctest.Wait()
	})
}

// awaitOpen waits until the probe is over that a read has been the reason for.
func awaitOpen(t *testing.T, v *Vault, want bool) {
	t.Helper()
	for v.Breaker().Open != want {
		if t.Context().Err() != nil {
			t.Fatalf("open = %t, want %t", !want, want)
		}
		runtime.Gosched()
	}
}

// TestServerThatFailsAtSomeKeysIsReadOn: HashiCorp Vault 1.21 on file storage answers
// 500 for keys of KV v1 whose file names are too long for the file system.
func TestServerThatFailsAtSomeKeysIsReadOn(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusNotFound, `{"errors":[]}`
		switch {
		case strings.Contains(r.URL.Path, "made-up"):
			status, body = http.StatusInternalServerError, `{"errors":["file name too long"]}`
		case strings.Contains(r.URL.Path, "good"):
			status, body = http.StatusOK, `{"data":{"a":"b"}}`
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	c := DefaultConfig()
	c.Name, c.Address, c.Mount, c.Token = "main", srv.URL, "kong-auth", "t"
	c.Timeout = 20 * time.Second // the machine may be busy
	v, err := New(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.CloseIdle)
	var readers sync.WaitGroup
	defer readers.Wait()
	for reader := range 4 {
		readers.Go(func() {
			for i := range 100 {
				if _, _, err := v.Read(t.Context(), fmt.Sprintf("made-up-%d-%d", reader, i)); err == nil {
					t.Error("a read that the server fails at brought an answer")
				}
			}
		})
	}
	for i := range 200 {
		if _, found, err := v.Read(t.Context(), "good"); !found || err != nil {
			t.Fatalf("good read %d = %t, %v, want found", i, found, err)
		}
	}
}
