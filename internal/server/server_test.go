package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server on free ports.
type running struct {
	health healthpb.HealthClient
	probes string
	stop   context.CancelFunc
	ended  chan error
}

// servedName is the name of the registered service.
const servedName = "test.Authorization"

func start(t *testing.T, checks []Check, drain Drain) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := Listeners{}
	for _, ln := range []*net.Listener{&l.GRPC, &l.Probes} {
		var err error
		if *ln, err = Listen(ctx, "127.0.0.1:0", DefaultSocket()); err != nil {
			t.Fatal(err)
		}
	}
	srv := grpc.NewServer(GRPCOptions()...)
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: servedName, HandlerType: (*any)(nil)}, nil)
	s := New(zap.NewNop(), srv, checks, drain)
	conn, err := grpc.NewClient(Address(l.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{health: healthpb.NewHealthClient(conn), probes: "http://" + Address(l.Probes), stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx, l, nil) }()
	t.Cleanup(func() {
		stop()
		_ = conn.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return r
}

func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.probes+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func (r *running) serving(t *testing.T) bool {
	t.Helper()
	is, err := r.condition(t, "")
	return err == nil && is == healthpb.HealthCheckResponse_SERVING
}

// condition asks the health service about one service, "" for all of them.
func (r *running) condition(t *testing.T, service string) (healthpb.HealthCheckResponse_ServingStatus, error) {
	t.Helper()
	res, err := r.health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
	return res.GetStatus(), err
}

// Load balancers ask for the health of the service that they use.
func TestTheHealthServiceAnswersForEachServiceByItsName(t *testing.T) {
	var up atomic.Bool
	r := start(t, []Check{{Name: "vault x", Func: func() error {
		if up.Load() {
			return nil
		}
		return errors.New("not reached yet")
	}}}, Drain{Wait: 500 * time.Millisecond, Timeout: time.Second})
	expect := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range []string{"", servedName} {
			partstest.Eventually(t, service+": "+want.String(), func() bool {
				is, err := r.condition(t, service)
				return err == nil && is == want
			})
		}
	}
	expect(healthpb.HealthCheckResponse_NOT_SERVING)
	up.Store(true)
	expect(healthpb.HealthCheckResponse_SERVING)
	if _, err := r.condition(t, "test.Other"); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: got %v, want NOT_FOUND", err)
	}
	r.stop()
	expect(healthpb.HealthCheckResponse_NOT_SERVING)
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestReadinessFollowsTheChecks(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	r := start(t, []Check{{Name: "vault x", Func: func() error {
		if down.Load() {
			return errors.New("not reached yet")
		}
		return nil
	}}}, Drain{Timeout: time.Second})
	if code, _ := r.get(t, "/livez"); code != 200 {
		t.Errorf("/livez: got %d, want 200", code)
	}
	if code, body := r.get(t, "/readyz"); code != 503 || !strings.Contains(body, "vault x: not reached yet") {
		t.Errorf("/readyz before: got %d %q", code, body)
	}
	if r.serving(t) {
		t.Error("health service: serving before the checks pass")
	}
	down.Store(false)
	if code, body := r.get(t, "/readyz?verbose"); code != 200 || !strings.Contains(body, "vault x: ok") {
		t.Errorf("/readyz after: got %d %q", code, body)
	}
	partstest.Eventually(t, "health service serves", func() bool { return r.serving(t) })
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestAReadyCheckThatFailsNowDoesNotSayOK: a reader who sees "ok" does not read on.
func TestAReadyCheckThatFailsNowDoesNotSayOK(t *testing.T) {
	check := func(name, text string, well bool) Check {
		return Check{Name: name, Func: func() error { return nil }, Detail: func() (string, bool) { return text, well }}
	}
	r := start(t, []Check{
		check("vault a", "state ok", true),
		check("vault b", "state sealed, circuit breaker open", false),
		{Name: "vault c", Func: func() error { return nil }},
	}, Drain{Timeout: time.Second})
	want := "vault a: ok (state ok)\nvault b: not ok now, still ready (state sealed, circuit breaker open)\nvault c: ok\n"
	if code, body := r.get(t, "/readyz?verbose"); code != 200 || body != want {
		t.Errorf("/readyz?verbose: got %d\n%swant 200\n%s", code, body, want)
	}
	if code, body := r.get(t, "/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("/readyz: got %d %q, want 200: readiness does not depend on it", code, body)
	}
}

func TestStopReportsNotReadyBeforeItRefusesCalls(t *testing.T) {
	r := start(t, nil, Drain{Wait: 500 * time.Millisecond, Timeout: time.Second})
	partstest.Eventually(t, "serves", func() bool { return r.serving(t) })
	r.stop()
	partstest.Eventually(t, "not ready", func() bool {
		code, _ := r.get(t, "/readyz")
		return code == 503
	})
	res, err := r.health.Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || res.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("a call during the wait: got %v, %v, want NOT_SERVING", res, err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := r.health.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a call after the stop: got %v", err)
	}
}

// Without this limit health requests could use memory that check requests may not.
func TestALargeMessageToTheHealthServiceIsRefused(t *testing.T) {
	r := start(t, nil, Drain{Timeout: time.Second})
	partstest.Eventually(t, "serves", func() bool { return r.serving(t) })
	_, err := r.health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: strings.Repeat("x", maxMessage)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestSocketThatWasLeftBehindIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	ln, err := Listen(t.Context(), "unix:"+path, DefaultSocket())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode: got %v, %v, want 0660", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), "unix:"+path, DefaultSocket()); err == nil {
		t.Error("a socket that answers was replaced")
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	again, err := Listen(t.Context(), "unix:"+path, DefaultSocket())
	if err != nil {
		t.Fatalf("after the end of the other process: %v", err)
	}
	_ = again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+file, DefaultSocket()); err == nil {
		t.Error("a file that is not a socket was replaced")
	}
}
