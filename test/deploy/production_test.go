package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// The consumers in deploy/envoy/vault-authz.yaml, each with a pair.
const (
	aliceID, aliceAccess, aliceSecret = "ce67c25e-2168-4a09-81e5-e06187a2384f", "access-of-alice", "secret-of-alice"
	bobID, bobAccess, bobSecret       = "3b1f6a5e-9a0c-4c83-9d8e-2f6f3a4d5b6c", "access-of-bob", "secret-of-bob"
)

func alice() map[string]string {
	return map[string]string{"access-token": aliceAccess, "secret-token": aliceSecret}
}

func bob() map[string]string {
	return map[string]string{"access_token": bobAccess, "secret_token": bobSecret}
}

// A production is the example for production with a real Vault.
type production struct {
	envoy    *parts.Envoy
	service  *parts.Service
	config   parts.ServiceConfig
	upstream *parts.Upstream
	address  string
	// socket is where vault-authz answers Envoy.
	socket string
}

// startVault starts a Vault with the pairs of alice, of bob, and of more: an id, an access
// token and a secret token for each.
func startVault(t *testing.T, more ...[3]string) (address, tokenFile string) {
	t.Helper()
	vault := partstest.StartVault(t)
	must(t, vault.Mount(t.Context(), "kong-auth", parts.KVv1))
	for _, c := range append(more, [3]string{aliceID, aliceAccess, aliceSecret}, [3]string{bobID, bobAccess, bobSecret}) {
		must(t, vault.Put(t.Context(), "kong-auth", parts.KVv1, c[1], parts.Record(c[1], c[2], c[0])))
	}
	token, err := vault.ReaderToken(t.Context(), "kong-auth")
	must(t, err)
	return vault.Address, partstest.TokenFile(t, token)
}

func startProduction(t *testing.T) *production {
	t.Helper()
	s := startProductionService(t, shipped(t, "envoy/vault-authz.yaml"))
	s.envoy = s.startEnvoy(t, shipped(t, "envoy/production.yaml"))
	s.address = s.envoy.Address("ingress")
	return s
}

// startProductionService starts all but Envoy, with a configuration that may be
// vault-authz.yaml with more consumers, whose pairs are given.
func startProductionService(t *testing.T, config string, pairs ...[3]string) *production {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN")
	vault, token := startVault(t, pairs...)
	s := &production{upstream: partstest.StartUpstream(t, "127.0.0.1:0"), socket: filepath.Join(socketDir(t), "authz.sock")}
	s.config = parts.ServiceConfig{
		Binary: service.Binary(t), Dir: t.TempDir(),
		Config: with(t, config,
			"unix:/run/vault-authz/authz.sock", "unix:"+s.socket,
			"127.0.0.1:9193", "127.0.0.1:0",
			"https://vault.example.com:8200", vault,
			"/etc/vault-authz/vault-token", token,
		),
		Env: []string{"VAULT_AUTHZ_DRAIN_WAIT=0s"},
	}
	s.start(t)
	return s
}

// startEnvoy starts an Envoy with production.yaml, or a changed one.
func (s *production) startEnvoy(t *testing.T, bootstrap string) *parts.Envoy {
	t.Helper()
	e := startEnvoy(t, with(t, bootstrap,
		"port_value: 10000", "port_value: 0",
		"/run/vault-authz/authz.sock", s.socket,
		"port_value: 8000", "port_value: "+port(t, s.upstream.Address()),
		"port_value: 8001", "port_value: "+port(t, s.upstream.Address()),
	))
	healthy(t, e, 1)
	return e
}

// start starts vault-authz, also for a restart.
func (s *production) start(t *testing.T) {
	t.Helper()
	s.service = partstest.StartService(t, s.config)
}

// healthy waits until an Envoy has the given number of healthy authorizers.
func healthy(t *testing.T, e *parts.Envoy, want int) {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		checks, err := e.Counter(ctx, "cluster.authz.health_check.attempt")
		if err != nil || checks == 0 {
			return errors.Join(err, errors.New("no health check yet"))
		}
		got, err := e.Counter(ctx, "cluster.authz.membership_healthy")
		if err == nil && got != want {
			err = fmt.Errorf("%d authorizers are healthy, want %d", got, want)
		}
		return err
	})
}

// plus adds headers.
func plus(header map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		header[more[i]] = more[i+1]
	}
	return header
}

const form = "application/x-www-form-urlencoded"

func TestTheProductionEnvoyDecidesEachRouteByItsPolicy(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	inBody := "access_token=" + aliceAccess + "&secret_token=" + aliceSecret
	many := alice()
	for i := range 120 {
		many[fmt.Sprintf("x-filler-%d", i)] = "1"
	}
	for _, test := range []struct {
		name     string
		request  request
		status   int
		consumer string
	}{
		{"the default policy", request{path: "/anything", header: bob()}, 200, "bob"},
		{"a pair in the query", request{path: "/?" + inBody}, 200, "alice"},
		{"no tokens", request{path: "/anything"}, 401, ""},
		{"a wrong secret", request{path: "/anything", header: plus(alice(), "secret-token", "wrong")}, 401, ""},
		{"the identity of another consumer", request{path: "/anything", header: plus(bob(), "X-Consumer-Username", "admin", "x_consumer_username", "admin")}, 200, "bob"},
		{"a route that names a policy, with its group", request{path: "/orders/7", header: alice()}, 200, "alice"},
		{"a route that names a policy, without its group", request{path: "/orders/7", header: bob()}, 403, ""},
		{"the same route with a dot segment", request{path: "/anything/../orders/7", header: bob()}, 403, ""},
		{"the same route with an encoded slash", request{path: "/anything%2f..%2forders", header: bob()}, 400, ""},
		{"tokens in the body where they may be", request{method: "POST", path: "/forms", body: inBody, header: map[string]string{"Content-Type": form}}, 200, "alice"},
		{"tokens in the body elsewhere", request{method: "POST", path: "/anything", body: inBody, header: map[string]string{"Content-Type": form}}, 401, ""},
		{"a body larger than the limit", request{method: "POST", path: "/forms", body: inBody + "&x=" + strings.Repeat("x", 1<<16), header: map[string]string{"Content-Type": form}}, 413, ""},
		{"a large body on a route without tokens in the body", request{method: "POST", path: "/anything", body: strings.Repeat("x", 1<<17), header: alice()}, 200, "alice"},
		{"too many headers", request{path: "/anything", header: many}, 431, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, s.address, test.request)
			if got.status != test.status || got.consumer() != test.consumer {
				t.Errorf("status = %d, consumer %q; want %d and %q; body %.300s", got.status, got.consumer(), test.status, test.consumer, got.body)
			}
		})
	}
	t.Run("a CORS preflight is answered by Envoy", func(t *testing.T) {
		got := ask(t, s.address, request{method: "OPTIONS", path: "/orders", header: map[string]string{
			"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "access-token",
		}})
		if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || s.upstream.Reached("/orders") != 0 {
			t.Errorf("status = %d, headers %v, and the upstream got %d requests", got.status, got.header, s.upstream.Reached("/orders"))
		}
	})
	t.Run("the access log has consumer and reason, and no token", s.testAccessLog)
}

func (s *production) testAccessLog(t *testing.T) {
	type line struct{ Path, Decision, Reason, Policy, Consumer, Credential string }
	want := map[line]bool{
		{Path: "/orders/7", Decision: "allow", Reason: "authenticated", Policy: "orders", Consumer: "alice"}: true,
		{Path: "/orders/7", Decision: "deny", Reason: "acl", Policy: "orders"}:                               true,
		{Path: "/", Decision: "allow", Reason: "authenticated", Policy: "default", Consumer: "alice"}:        true,
		{Path: "/forms", Decision: "allow", Reason: "authenticated", Policy: "forms", Consumer: "alice"}:     true,
	}
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		left := len(want)
		seen := map[line]bool{}
		for raw := range strings.SplitSeq(s.envoy.Log(), "\n") {
			var l line
			if json.Unmarshal([]byte(raw), &l) != nil {
				continue
			}
			if l.Decision == "allow" && l.Credential == "" {
				return fmt.Errorf("the line has no fingerprint: %s", raw)
			}
			if l.Credential = ""; want[l] && !seen[l] {
				seen[l] = true
				left--
			}
		}
		if left != 0 {
			return fmt.Errorf("%d of %d lines are missing in the access log:\n%s", left, len(want), s.envoy.Log())
		}
		return nil
	})
	for _, log := range []string{s.envoy.Log(), s.service.Log()} {
		for _, secret := range []string{aliceAccess, aliceSecret, bobAccess, bobSecret} {
			if strings.Contains(log, secret) {
				t.Errorf("%q is in a log", secret)
			}
		}
	}
}

func TestTheProductionEnvoyUpgradesAWebSocketOnlyWithAPair(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	for _, test := range []struct {
		name   string
		header map[string]string
		status int
	}{
		{"no tokens", nil, http.StatusUnauthorized},
		{"a good pair", alice(), http.StatusSwitchingProtocols},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
			must(t, err)
			defer func() { _ = conn.Close() }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/socket", nil)
			must(t, err)
			for name, value := range plus(map[string]string{}, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") {
				req.Header.Set(name, value)
			}
			for name, value := range test.header {
				req.Header.Set(name, value)
			}
			must(t, req.Write(conn))
			from := bufio.NewReader(conn)
			resp, err := http.ReadResponse(from, req)
			must(t, err)
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != test.status {
				t.Fatalf("status = %d, want %d", resp.StatusCode, test.status)
			}
			if resp.StatusCode != http.StatusSwitchingProtocols {
				return
			}
			const sent = "there and back"
			_, err = io.WriteString(conn, sent)
			must(t, err)
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(from, got); err != nil || string(got) != sent {
				t.Errorf("got %q, %v; want %q", got, err, sent)
			}
		})
	}
}

// grpcWeb makes a gRPC-Web call as a browser does.
func (s *production) grpcWeb(t *testing.T, header map[string]string) answer {
	t.Helper()
	return ask(t, s.address, request{
		method: "POST", path: "/grpc.health.v1.Health/Check", body: "\x00\x00\x00\x00\x00", // one empty message
		header: plus(header, "Content-Type", "application/grpc-web+proto", "X-Grpc-Web", "1"),
	})
}

func TestTheProductionEnvoyAnswersGRPCWebClientsWithAGRPCStatus(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	// The message SERVING. The status follows it.
	const serving = "\x00\x00\x00\x00\x02\x08\x01"
	if got := s.grpcWeb(t, alice()); got.status != 200 || !strings.HasPrefix(got.body, serving) || !strings.Contains(got.body, "grpc-status:0") {
		t.Errorf("with a good pair: status = %d, body %q", got.status, got.body)
	}
	got := s.grpcWeb(t, map[string]string{})
	if got.header.Get("Grpc-Status") != "16" || got.header.Get("Grpc-Message") != "No access token and secret token found in request" {
		t.Errorf("without tokens: status = %d, headers %v, want grpc-status 16 (UNAUTHENTICATED)", got.status, got.header)
	}
	if n := s.upstream.Reached("/grpc.health.v1.Health/Check"); n != 1 {
		t.Errorf("the upstream got %d calls, want 1", n)
	}
}

func TestTheProductionEnvoyFailsClosedWithoutVaultAuthzAndRecovers(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.service.Kill()
	got := ask(t, s.address, request{path: "/", header: alice()})
	if got.status != http.StatusServiceUnavailable || s.upstream.Reached("/") != 0 {
		t.Errorf("status = %d, want 503; the upstream got %d requests", got.status, s.upstream.Reached("/"))
	}
	healthy(t, s.envoy, 0)
	s.start(t)
	healthy(t, s.envoy, 1)
	if got := ask(t, s.address, request{path: "/", header: alice()}); got.status != http.StatusOK {
		t.Errorf("after the restart: status = %d, want 200", got.status)
	}
}
