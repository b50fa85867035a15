package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// The listeners of the tests that break something: without and with
// failure_mode_allow.
const (
	onClosed = "closed"
	onOpen   = "open"
)

// reloadLimit is how long vault-authz may take to notice that Vault answers again.
const reloadLimit = 30 * time.Second

// fragileSetup is for tests that break something. Vault has 300 ms to answer and
// vault-authz a second, so that vault-authz answers before Envoy gives up.
func fragileSetup() setup {
	return setup{
		durable: true,
		entities: `
vaults:
  - {name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 300ms, cache: {ttl: 60s, absent_ttl: 1s, max_stale: 30s}}
  - {name: brief, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 300ms, cache: {ttl: 1s, absent_ttl: 1s, max_stale: 3s}}
` + consumers + `
policies:
  - {name: default, default: true, vault: v1}
  - {name: anonymous, vault: v1, anonymous: guest}
  - {name: error-response, vault: v1, on_error: error_response}
  - {name: grpc-error, vault: v1, on_error: grpc_error}
  - {name: shadow, vault: v1, shadow: true}
  - {name: brief, vault: brief}
`,
		listeners: []parts.Listener{
			{Name: onClosed, Timeout: time.Second},
			{Name: onOpen, Timeout: time.Second, FailureModeAllow: true},
		},
		policies: []string{"default", "anonymous", "error-response", "grpc-error", "shadow", "brief"},
	}
}

// TestAVaultThatCannotAnswerStaysClosed shows that a request which needs Vault is denied
// with 503 while Vault cannot answer, even with failure_mode_allow, and that requests are
// allowed again, without a restart, once Vault answers.
func TestAVaultThatCannotAnswerStaysClosed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		breakIt, mend func(t *testing.T, bed *testbed)
	}{
		{"stopped", func(_ *testing.T, bed *testbed) { bed.vault.Kill() }, func(t *testing.T, bed *testbed) {
			t.Helper()
			vault, err := bed.newVault(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bed.proxy.SetTarget(hostPort(vault.Address))
		}},
		{
			"sealed", func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.vault.Seal(t.Context())) },
			func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.vault.Unseal(t.Context())) },
		},
		{
			"slow", func(_ *testing.T, bed *testbed) { bed.proxy.SetLatency(2 * time.Second) },
			func(_ *testing.T, bed *testbed) { bed.proxy.SetLatency(0) },
		},
		{
			"hung", func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.vault.Signal(syscall.SIGSTOP)) },
			func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.vault.Signal(syscall.SIGCONT)) },
		},
		{
			"connections reset", func(_ *testing.T, bed *testbed) { bed.proxy.SetReset(true) },
			func(_ *testing.T, bed *testbed) { bed.proxy.SetReset(false) },
		},
		{
			"token of vault-authz revoked", func(t *testing.T, bed *testbed) {
				t.Helper()
				must(t, bed.vault.Revoke(t.Context(), bed.readerToken(t)))
			},
			func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.newReaderToken(t.Context())) },
		},
		{
			"mount missing", func(t *testing.T, bed *testbed) { t.Helper(); must(t, bed.vault.Unmount(t.Context(), mountV1)) },
			func(t *testing.T, bed *testbed) {
				t.Helper()
				must(t, bed.vault.Mount(t.Context(), mountV1, parts.KVv1))
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := ownTestbed(t, fragileSetup())
			cached, attacked := bed.credential(t, aliceID, nil), bed.credential(t, aliceID, nil)
			for _, p := range []pair{cached, attacked} {
				if a := bed.send(t, onOpen, protocols()[0], request{policy: "default", target: "/before", header: p.headers()}); a.status != http.StatusOK {
					t.Fatalf("before: status = %d, body %s", a.status, a.body)
				}
			}
			wrong := bed.attack(t, attacked.access)
			untouched := make([]pair, 0, 16)
			for range cap(untouched) {
				untouched = append(untouched, bed.credential(t, aliceID, nil))
			}

			test.breakIt(t, bed)
			bed.staysClosed(t, untouched)
			if a := bed.send(t, onClosed, protocols()[0], request{policy: "default", target: "/cached", header: cached.headers()}); a.status != http.StatusOK {
				t.Errorf("a credential in the cache: status = %d, want 200; body %s", a.status, a.body)
			}
			for _, listener := range []string{onClosed, onOpen} {
				for name, want := range map[string]bool{"denied": true, "error": false, "failure_mode_allowed": false} {
					n, err := bed.envoy.Counter(t.Context(), "http."+listener+".ext_authz."+name)
					if err != nil || (n > 0) != want {
						t.Errorf("listener %s: ext_authz.%s = %d, %v, want any: %t", listener, name, n, err, want)
					}
				}
			}

			test.mend(t, bed)
			partstest.Await(t, reloadLimit, func(ctx context.Context) error {
				p, err := bed.newCredential(ctx)
				if err != nil {
					return err
				}
				a, err := bed.try(ctx, onOpen, protocols()[0], request{policy: "default", target: "/after", header: p.headers()})
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("status %d, body %s", a.status, a.body)
				}
				return err
			})
			wrong()
			if n := bed.upstream.Reached("/attack"); n != 0 {
				t.Errorf("%d requests with a wrong secret reached the upstream", n)
			}
		})
	}
}

// staysClosed sends requests that need Vault, on all listeners and protocols, and expects
// 503.
func (bed *testbed) staysClosed(t *testing.T, fresh []pair) {
	t.Helper()
	next := func() []field {
		p := fresh[0]
		fresh = fresh[1:]
		return p.headers()
	}
	for _, listener := range []string{onClosed, onOpen} {
		for _, policy := range []string{"default", "anonymous"} {
			for _, p := range protocols() {
				a := bed.send(t, listener, p, request{policy: policy, target: "/closed", header: next()})
				retry, err := strconv.Atoi(a.header.Get("Retry-After"))
				if a.status != http.StatusServiceUnavailable || err != nil || retry < 1 {
					t.Errorf("listener %s, policy %s, %s: status = %d, Retry-After = %q, want 503 and seconds; body %s",
						listener, policy, p.name, a.status, a.header.Get("Retry-After"), a.body)
				}
			}
			if _, err := bed.call(t.Context(), listener, policy, next()); status.Code(err) != codes.Unavailable {
				t.Errorf("listener %s, policy %s: a gRPC call ends with %v, want Unavailable", listener, policy, err)
			}
		}
	}
	if n := bed.upstream.Reached("/closed"); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	logged := bed.service.Decisions("/closed")
	if len(logged) == 0 {
		t.Error("the log has no decision")
	}
	for _, d := range logged {
		if d.Reason != "unavailable" || d.Status != http.StatusServiceUnavailable || d.Error == "" {
			t.Errorf("logged %+v, want unavailable, 503 and the error", d)
		}
	}
}

// attack sends a wrong secret for an access token again and again until stop is called.
func (bed *testbed) attack(t *testing.T, access string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var sent atomic.Int64
	header := pair{access, unique("wrong")}.headers()
	wg.Go(func() {
		for ctx.Err() == nil {
			a, err := bed.try(ctx, onOpen, protocols()[1], request{policy: "default", target: "/attack", header: header})
			if err == nil && a.status == http.StatusOK {
				t.Errorf("a wrong secret is allowed")
			}
			sent.Add(1)
			// The machine may have two cores only.
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	stop = func() {
		cancel()
		wg.Wait()
		if sent.Load() < 2 {
			t.Errorf("the attack sent %d requests, want at least 2", sent.Load())
		}
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return stop
}

// newCredential writes a record for a new pair into the mount of version 1, and returns
// an error if that fails.
func (bed *testbed) newCredential(ctx context.Context) (pair, error) {
	p := pair{access: unique("access"), secret: unique("secret")}
	return p, bed.vault.Put(ctx, mountV1, parts.KVv1, p.access, parts.Record(p.access, p.secret, aliceID))
}

// TestAServiceThatAnswersWithErrorsLeavesItToEnvoy shows the two values of on_error with
// which failure_mode_allow decides, and that they apply only while Vault is unavailable.
func TestAServiceThatAnswersWithErrorsLeavesItToEnvoy(t *testing.T) {
	t.Parallel()
	bed := ownTestbed(t, fragileSetup())
	known := bed.credential(t, aliceID, nil)
	bed.send(t, onClosed, protocols()[0], request{policy: "default", target: "/warm", header: known.headers()})
	bed.proxy.SetReset(true)
	unavailable := func() []field { return pair{unique("access"), unique("secret")}.headers() }
	tests := []struct {
		name, policy, listener string
		header                 []field
		status                 int
		counter                string
	}{
		{"error_response, closed", "error-response", onClosed, unavailable(), 503, "error"},
		{"error_response, open", "error-response", onOpen, unavailable(), 200, "failure_mode_allowed"},
		// Envoy answers with its status_on_error.
		{"grpc_error, closed", "grpc-error", onClosed, unavailable(), 403, "error"},
		{"grpc_error, open", "grpc-error", onOpen, unavailable(), 200, "failure_mode_allowed"},
		{"a wrong secret is still a denial with error_response", "error-response", onOpen, pair{known.access, unique("wrong")}.headers(), 401, "denied"},
		{"a wrong secret is still a denial with grpc_error", "grpc-error", onOpen, pair{known.access, unique("wrong")}.headers(), 401, "denied"},
		{"no token is still a denial", "grpc-error", onOpen, nil, 401, "denied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			counter := "http." + test.listener + ".ext_authz." + test.counter
			before, err := bed.envoy.Counter(t.Context(), counter)
			must(t, err)
			a := bed.send(t, test.listener, protocols()[0], request{policy: test.policy, target: "/on-error", header: test.header})
			if a.status != test.status {
				t.Errorf("status = %d, want %d; body %s", a.status, test.status, a.body)
			}
			if a.echo != nil && len(a.echo.Headers["x-envoy-auth-failure-mode-allowed"]) == 0 {
				t.Errorf("the request has no header that marks it as undecided: %v", a.echo.Headers)
			}
			after, err := bed.envoy.Counter(t.Context(), counter)
			if err != nil || after != before+1 {
				t.Errorf("%s went from %d to %d, %v, want an increase by 1", counter, before, after, err)
			}
		})
	}
}

func TestAShadowPolicyAllowsWhileVaultIsUnavailable(t *testing.T) {
	t.Parallel()
	bed := ownTestbed(t, fragileSetup())
	bed.proxy.SetReset(true)
	header := append(pair{unique("access"), unique("secret")}.headers(), field{"x-consumer-id", aliceID})
	a := bed.send(t, onClosed, protocols()[0], request{policy: "shadow", target: "/shadow", header: header})
	if a.echo == nil || len(a.echo.Headers["x-consumer-id"]) != 0 {
		t.Fatalf("status = %d, echo %+v, want it allowed without an identity", a.status, a.echo)
	}
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		lines := bed.service.Decisions("/shadow")
		if len(lines) != 1 || !lines[0].Shadow || lines[0].Reason != "unavailable" || lines[0].Decision != "allow" {
			return fmt.Errorf("logged %+v, want one shadow decision with the reason unavailable", lines)
		}
		return nil
	})
}

// Envoy's default timeout is 200 ms, less than Vault may take. vault-authz must answer with
// 503 before Envoy gives up: otherwise failure_mode_allow would allow the request.
func TestASlowVaultIsAnsweredWithinEnvoysDefaultTimeout(t *testing.T) {
	t.Parallel()
	s := fragileSetup()
	for i := range s.listeners {
		s.listeners[i].Timeout = 0
	}
	bed := ownTestbed(t, s)
	p := bed.credential(t, aliceID, nil)
	bed.send(t, onClosed, protocols()[0], request{policy: "default", target: "/warm", header: p.headers()})
	bed.proxy.SetLatency(5 * time.Second)
	for i := range 5 {
		a := bed.send(t, onOpen, protocols()[i%2], request{policy: "default", target: "/slow", header: pair{unique("access"), unique("secret")}.headers()})
		if a.status != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503; body %s", a.status, a.body)
		}
	}
	if n := bed.upstream.Reached("/slow"); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestAnExpiredEntryIsServedForMaxStale shows that an expired entry is served while Vault is
// unavailable, but no longer than max_stale.
func TestAnExpiredEntryIsServedForMaxStale(t *testing.T) {
	t.Parallel()
	bed := ownTestbed(t, fragileSetup())
	p := bed.credential(t, aliceID, nil)
	ask := func(ctx context.Context) (int, error) {
		a, err := bed.try(ctx, onOpen, protocols()[0], request{policy: "brief", target: "/brief", header: p.headers()})
		return a.status, err
	}
	if got, err := ask(t.Context()); got != http.StatusOK {
		t.Fatalf("before: status = %d, %v", got, err)
	}
	bed.vault.Kill()
	down := time.Now()
	// ttl is 1 s minus up to a tenth, max_stale is 3 s.
	const fresh, most = time.Second, 4 * time.Second
	served := time.Duration(0)
	partstest.Await(t, reloadLimit, func(ctx context.Context) error {
		switch got, err := ask(ctx); {
		case err != nil:
			return err
		case got == http.StatusServiceUnavailable:
			return nil
		case got != http.StatusOK:
			t.Errorf("status = %d, want 200 and then 503", got)
			return nil
		}
		served = time.Since(down)
		return errors.New("still served")
	})
	// The additional second is for a busy machine.
	if served < fresh || served > most+time.Second {
		t.Errorf("served for %s after Vault was killed, want at least the ttl of %s and at most %s", served, fresh, most)
	}
	if got, err := ask(t.Context()); got != http.StatusServiceUnavailable {
		t.Errorf("after max_stale: status = %d, %v, want 503", got, err)
	}
}

// TestADeletedRecordEndsWithItsTTL shows that no stale entry is served once Vault answers
// "not found".
func TestADeletedRecordEndsWithItsTTL(t *testing.T) {
	t.Parallel()
	bed := ownTestbed(t, fragileSetup())
	p := bed.credential(t, aliceID, nil)
	r := request{policy: "brief", target: "/deleted", header: p.headers()}
	if a := bed.send(t, onClosed, protocols()[0], r); a.status != http.StatusOK {
		t.Fatalf("before: status = %d, body %s", a.status, a.body)
	}
	must(t, bed.vault.Delete(t.Context(), mountV1, parts.KVv1, p.access))
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		a, err := bed.try(ctx, onClosed, protocols()[0], r)
		if err == nil && a.status != http.StatusUnauthorized {
			err = fmt.Errorf("status %d, want 401", a.status)
		}
		return err
	})
}

// TestAClientThatDisconnectsIsDenied shows that a canceled check is a denial, with a reason
// of its own in the log.
func TestAClientThatDisconnectsIsDenied(t *testing.T) {
	t.Parallel()
	s := fragileSetup()
	bed := ownTestbed(t, s)
	p := bed.credential(t, aliceID, nil)
	bed.proxy.SetLatency(250 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if a, err := bed.try(ctx, onClosed, protocols()[0], request{policy: "default", target: "/gone", header: p.headers()}); err == nil {
		t.Fatalf("the client did not disconnect: %+v", a)
	}
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		lines := bed.service.Decisions("/gone")
		if len(lines) != 1 || lines[0].Reason != "canceled" || lines[0].Decision != "deny" {
			return fmt.Errorf("logged %+v, want one denial with the reason canceled", lines)
		}
		return nil
	})
	if n := bed.upstream.Reached("/gone"); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestEnvoyDecidesWithoutTheService shows that failure_mode_allow decides when vault-authz
// is killed, or does not answer within Envoy's timeout.
func TestEnvoyDecidesWithoutTheService(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		sig  syscall.Signal
	}{
		{"killed", syscall.SIGKILL},
		{"hung", syscall.SIGSTOP},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := ownTestbed(t, fragileSetup())
			p := bed.credential(t, aliceID, nil)
			r := request{policy: "default", target: "/alone", header: p.headers()}
			if a := bed.send(t, onClosed, protocols()[0], r); a.status != http.StatusOK {
				t.Fatalf("before: status = %d, body %s", a.status, a.body)
			}
			reached := bed.upstream.Reached("/alone")
			must(t, bed.service.Signal(test.sig))
			if a := bed.send(t, onClosed, protocols()[0], r); a.status != http.StatusForbidden {
				t.Errorf("status = %d, want Envoy's 403", a.status)
			}
			if n := bed.upstream.Reached("/alone"); n != reached {
				t.Errorf("%d more requests reached the upstream", n-reached)
			}
			// The reason why docs/how-to/envoy.md advises against failure_mode_allow.
			a := bed.send(t, onOpen, protocols()[0], r)
			if a.echo == nil || len(a.echo.Headers["x-envoy-auth-failure-mode-allowed"]) == 0 {
				t.Errorf("with failure_mode_allow: status = %d, echo %+v, want it allowed and marked", a.status, a.echo)
			}
		})
	}
}

// TestTheServiceListensOnAUnixSocket is the setup of a sidecar.
func TestTheServiceListensOnAUnixSocket(t *testing.T) {
	t.Parallel()
	s := fragileSetup()
	s.socket = true
	bed := ownTestbed(t, s)
	p := bed.credential(t, aliceID, nil)
	if a := bed.send(t, onClosed, protocols()[0], request{policy: "default", target: "/socket", header: p.headers()}); a.echo == nil {
		t.Errorf("status = %d, want it allowed; body %s", a.status, a.body)
	}
	if a := bed.send(t, onClosed, protocols()[0], request{policy: "default", target: "/socket"}); a.status != http.StatusUnauthorized {
		t.Errorf("without tokens: status = %d, want 401", a.status)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
