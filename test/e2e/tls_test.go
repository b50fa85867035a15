package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const (
	authzName   = "authz.example.com"
	gatewayName = "spiffe://example.org/gateway"
)

// An mtlsTestbed is a testbed with mutual TLS between Envoy and vault-authz. The files are
// mounted as in Kubernetes.
type mtlsTestbed struct {
	*testbed
	server, gateway string
}

func mount(t *testing.T, dir string, i parts.Issued, authorities ...*parts.Authority) {
	t.Helper()
	must(t, parts.MountSecret(dir, map[string][]byte{"tls.crt": i.Certificate, "tls.key": i.Key, "ca.crt": parts.Bundle(authorities...)}))
}

func issued(t *testing.T, a *parts.Authority, edit func(*x509.Certificate), names ...string) parts.Issued {
	t.Helper()
	i, err := a.Issue(edit, names...)
	must(t, err)
	return i
}

func startMTLSTestbed(t *testing.T, a *parts.Authority) *mtlsTestbed {
	t.Helper()
	m := &mtlsTestbed{server: t.TempDir(), gateway: t.TempDir()}
	mount(t, m.server, issued(t, a, nil, authzName), a)
	mount(t, m.gateway, issued(t, a, nil, gatewayName), a)
	file := func(name string) string { return filepath.Join(m.server, name) }
	m.testbed = ownTestbed(t, setup{
		entities: fmt.Sprintf("grpc: {cert_file: %q, key_file: %q, client_ca_file: %q, client_names: [%q]}\n", file("tls.crt"), file("tls.key"), file("ca.crt"), gatewayName) + `
vaults:
  - {name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 5s}
` + consumers + `
policies:
  - {name: default, default: true, vault: v1}
`,
		listeners: []parts.Listener{{Name: onHeaders, Timeout: 10 * time.Second}},
		authzTLS:  &parts.EnvoyTLS{Dir: m.gateway, ServerName: authzName},
	})
	return m
}

// served waits until new connections get a certificate of an authority, and returns the
// error of a call by a client with the certificate shown, nil for none.
func (m *mtlsTestbed) served(t *testing.T, by *parts.Authority, shown *parts.Issued) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(by.PEM)
	config := &tls.Config{RootCAs: roots, ServerName: authzName, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	if shown != nil {
		pair, err := tls.X509KeyPair(shown.Certificate, shown.Key)
		must(t, err)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", m.service.GRPC)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	conn, err := grpc.NewClient("passthrough:///"+m.service.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(t, err)
	defer func() { _ = conn.Close() }()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	return err
}

// settle waits until both sides have read the mounted files and Envoy has made new
// connections.
func (m *mtlsTestbed) settle(t *testing.T, reads, updates int) {
	t.Helper()
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		if n := strings.Count(m.service.Log(), `"TLS files read again"`); n < reads {
			return fmt.Errorf("the service has read its files %d times, want %d", n, reads)
		}
		n, err := m.envoy.Counter(ctx, "cluster.authz.client_ssl_socket_factory.ssl_context_update_by_sds")
		if err == nil && n < updates {
			err = fmt.Errorf("envoy has read its files %d times, want %d", n, updates)
		}
		return err
	})
	before, err := m.envoy.Counter(t.Context(), "cluster.authz.ssl.handshake")
	must(t, err)
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		n, err := m.envoy.Counter(ctx, "cluster.authz.ssl.handshake")
		if err == nil && n < before+5 {
			err = errors.New("no new connections")
		}
		return err
	})
}

// load sends requests until stop is called, which returns their number.
func (m *mtlsTestbed) load(t *testing.T, p pair) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	var working sync.WaitGroup
	for range 2 {
		working.Go(func() {
			for ctx.Err() == nil {
				a, err := m.try(t.Context(), onHeaders, protocols()[0], request{target: "/load", header: p.headers()})
				sent.Add(1)
				if err != nil || a.status != http.StatusOK || a.echo == nil {
					t.Errorf("a request during the change: status %d, %v, %s", a.status, err, a.body)
					return
				}
			}
		})
	}
	return func() int64 {
		cancel()
		working.Wait()
		return sent.Load()
	}
}

func (m *mtlsTestbed) counters(t *testing.T, want map[string]int) {
	t.Helper()
	for name, value := range want {
		if got, err := m.envoy.Counter(t.Context(), name); err != nil || got != value {
			t.Errorf("%s is %d, %v, want %d", name, got, err, value)
		}
	}
}

// TestCertificatesAndAuthorityAreReplacedUnderLoad replaces all certificates and the
// authority step by step under load, and then mounts files that cannot be used.
func TestCertificatesAndAuthorityAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	before, err := parts.NewAuthority("before")
	must(t, err)
	after, err := parts.NewAuthority("after")
	must(t, err)
	m := startMTLSTestbed(t, before)
	alice := m.credential(t, aliceID, nil)
	old := issued(t, before, nil, gatewayName)
	if err := m.served(t, before, &old); err != nil {
		t.Fatalf("a client like the gateway, at first: %v", err)
	}
	updates, err := m.envoy.Counter(t.Context(), "cluster.authz.client_ssl_socket_factory.ssl_context_update_by_sds")
	must(t, err)
	stop := m.load(t, alice)

	// First both sides trust both authorities, then they use certificates of the new one,
	// then they no longer trust the old one.
	mount(t, m.server, issued(t, before, nil, authzName), before, after)
	mount(t, m.gateway, issued(t, before, nil, gatewayName), before, after)
	m.settle(t, 1, updates+1)
	mount(t, m.server, issued(t, after, nil, authzName), before, after)
	mount(t, m.gateway, issued(t, after, nil, gatewayName), before, after)
	m.settle(t, 2, updates+2)
	good := issued(t, after, nil, authzName)
	mount(t, m.server, good, after)
	mount(t, m.gateway, issued(t, after, nil, gatewayName), after)
	m.settle(t, 3, updates+3)
	renewed := issued(t, after, nil, gatewayName)
	if err := m.served(t, after, &renewed); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	if err := m.served(t, after, &old); err == nil {
		t.Error("a client of the old authority gets an answer")
	}

	refused := `vault_authz_tls_files_refused{use="grpc",vault=""} `
	if !strings.Contains(m.probe(t, "/metrics"), refused+"0") {
		t.Errorf("the metric is not 0 while the files are valid:\n%s", m.probe(t, "/metrics"))
	}
	for what, broken := range map[string]map[string][]byte{
		"expired at":               {"tls.crt": nil, "tls.key": nil, "ca.crt": after.PEM},
		"there is no PEM":          {"tls.crt": good.Certificate, "tls.key": good.Key, "ca.crt": []byte("half a file")},
		"certificate with its key": {"tls.crt": good.Certificate, "tls.key": renewed.Key, "ca.crt": after.PEM},
	} {
		if what == "expired at" {
			expired := issued(t, after, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, authzName)
			broken["tls.crt"], broken["tls.key"] = expired.Certificate, expired.Key
		}
		must(t, parts.MountSecret(m.server, broken))
		partstest.Await(t, 30*time.Second, func(context.Context) error {
			if !strings.Contains(m.service.Log(), what) || !strings.Contains(m.probe(t, "/metrics"), refused+"1") {
				return fmt.Errorf("%q is not in the log, or the metric is not 1", what)
			}
			return nil
		})
		if err := m.served(t, after, &renewed); err != nil {
			t.Errorf("%s: a good client: %v", what, err)
		}
		if err := m.served(t, after, nil); err == nil {
			t.Errorf("%s: a client without a certificate gets an answer", what)
		}
		if n := strings.Count(m.service.Log(), what); n != 1 {
			t.Errorf("%d lines with %q, want one", n, what)
		}
	}
	mount(t, m.server, good, after)
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if !strings.Contains(m.probe(t, "/metrics"), refused+"0") {
			return errors.New("the metric is still 1")
		}
		return nil
	})

	sent := stop()
	handshakes, err := m.envoy.Counter(t.Context(), "cluster.authz.ssl.handshake")
	must(t, err)
	t.Logf("%d requests over %d connections, none failed", sent, handshakes)
	if sent < 100 || handshakes < 15 {
		t.Errorf("%d requests over %d connections, want at least 100 and 15", sent, handshakes)
	}
	m.counters(t, map[string]int{
		"http.headers.ext_authz.error": 0, "http.headers.ext_authz.denied": 0, "cluster.authz.upstream_cx_connect_fail": 0,
	})
}

// TestAGatewayWithAForeignNameGetsNoAnswer gives Envoy a certificate that the right
// authority issued for another name.
func TestAGatewayWithAForeignNameGetsNoAnswer(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	ours, err := parts.NewAuthority("ours")
	must(t, err)
	theirs, err := parts.NewAuthority("theirs")
	must(t, err)
	m := startMTLSTestbed(t, ours)
	alice := m.credential(t, aliceID, nil)
	ask := func() answer {
		return m.get(t, request{target: "/names", header: alice.headers()})
	}
	if a := ask(); a.status != http.StatusOK {
		t.Fatalf("with the right name: %d", a.status)
	}
	// One line is logged for several refused handshakes, so the wrong names come first.
	for _, test := range []struct {
		name   string
		issued parts.Issued
	}{
		{"another id of the trust domain", issued(t, ours, nil, "spiffe://example.org/another")},
		{"another trust domain", issued(t, ours, nil, "spiffe://example.com/gateway")},
		{"the right name of another", issued(t, theirs, nil, gatewayName)},
	} {
		updates, err := m.envoy.Counter(t.Context(), "cluster.authz.client_ssl_socket_factory.ssl_context_update_by_sds")
		must(t, err)
		mount(t, m.gateway, test.issued, ours)
		// Envoy may use the existing connection for some more requests.
		partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
			n, err := m.envoy.Counter(ctx, "cluster.authz.client_ssl_socket_factory.ssl_context_update_by_sds")
			if err != nil || n == updates {
				return errors.Join(errors.New("Envoy has not read the files yet"), err)
			}
			if a := ask(); a.status == http.StatusOK {
				return errors.New("an old connection is in use")
			}
			return nil
		})
		for range 30 {
			if a := ask(); a.status != http.StatusForbidden || a.echo != nil {
				t.Fatalf("%s: status %d, want Envoy's own denial", test.name, a.status)
			}
		}
	}
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		if !strings.Contains(m.service.Log(), "has no name of client_names") {
			return errors.New("the log does not say why")
		}
		return nil
	})
	mount(t, m.gateway, issued(t, ours, nil, gatewayName), ours)
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if a := ask(); a.status != http.StatusOK {
			return fmt.Errorf("with the right name again: %d", a.status)
		}
		return nil
	})
}
