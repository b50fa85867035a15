package tlsfiles_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/test/parts"
)

// A listener uses the TLS of a Server and sends "hello" to every client that it accepts.
type listener struct {
	folder
	*tlsfiles.Server
	address string
	// accepted receives the connection of each client and the error of its handshake.
	accepted chan accepted
}

type accepted struct {
	conn *tls.Conn
	err  error
}

func gatewayOnly(c *x509.Certificate) error {
	for _, name := range c.DNSNames {
		if name == "gateway.example.com" {
			return nil
		}
	}
	return errors.New("a foreign name")
}

func listen(t *testing.T, files map[string][]byte, edit func(*tlsfiles.Listener)) *listener {
	t.Helper()
	f := folder{t, t.TempDir()}
	f.put(files)
	c := tlsfiles.Listener{CertFile: f.path("cert"), KeyFile: f.path("key"), ClientCAFile: f.path("ca")}
	if edit != nil {
		edit(&c)
	}
	s, err := tlsfiles.NewServer("grpc", c, gatewayOnly, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", s.Config("h2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	l := &listener{f, s, ln.Addr().String(), make(chan accepted, 1)}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			server := conn.(*tls.Conn)
			if err = server.HandshakeContext(t.Context()); err == nil {
				_, err = io.WriteString(server, "hello")
			}
			if err != nil {
				_ = conn.Close()
			}
			l.accepted <- accepted{server, err}
		}
	}()
	return l
}

// call returns what a client reads, and the result on the server.
func (l *listener) call(t *testing.T, config *tls.Config) (got string, state tls.ConnectionState, server accepted) {
	t.Helper()
	raw, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	client := tls.Client(raw, config)
	hello := make([]byte, 5)
	n, _ := io.ReadFull(client, hello)
	return string(hello[:n]), client.ConnectionState(), <-l.accepted
}

// client presents the certificate, whatever authorities the server asks for.
func client(t *testing.T, server *parts.Authority, shown *parts.Issued) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.PEM)
	config := &tls.Config{RootCAs: roots, ServerName: "authz", NextProtos: []string{"h2"}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if shown != nil {
		pair, err := tls.X509KeyPair(shown.Certificate, shown.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return config
}

const gateway = "gateway.example.com"

func TestOnlyAClientWithACertificateAndANameGetsAnAnswer(t *testing.T) {
	t.Parallel()
	ours, theirs := authority(t, "ours"), authority(t, "theirs")
	l := listen(t, set(issue(t, ours, nil, "authz"), ours), nil)
	for _, test := range []struct {
		name  string
		by    *parts.Authority
		edit  func(*x509.Certificate)
		named string
		in    bool
	}{
		{"the name", ours, nil, gateway, true},
		{"another name", ours, nil, "stranger.example.com", false},
		{"the name as the common name only", ours, nil, "spiffe://example.org/x", false},
		{"another authority", theirs, nil, gateway, false},
		{"a certificate for servers", ours, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, gateway, false},
		{"an expired one", ours, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(1) }, gateway, false},
		{"none", nil, nil, "", false},
	} {
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
			var shown *parts.Issued
			if test.by != nil {
				issued := issue(t, test.by, test.edit, test.named)
				shown = &issued
			}
			config := client(t, ours, shown)
			config.MaxVersion = version
			want := test.in && version == tls.VersionTLS13
			if got, _, server := l.call(t, config); (got == "hello") != want || (server.err == nil) != want {
				t.Errorf("%s, %s: got %q, the server %v, want an answer: %t", test.name, tls.VersionName(version), got, server.err, want)
			}
		}
	}
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if server := <-l.accepted; server.err == nil || strings.Contains(string(answer), "hello") {
		t.Errorf("without TLS: got %q, %v", answer, server.err)
	}
}

func TestTLS12NeedsASettingAndUsesStrongSuitesOnly(t *testing.T) {
	t.Parallel()
	ours := authority(t, "ours")
	l := listen(t, set(issue(t, ours, nil, "authz"), ours), func(c *tlsfiles.Listener) { c.MinTLSVersion = tlsfiles.TLS12 })
	shown := issue(t, ours, nil, gateway)
	for _, test := range []struct {
		name    string
		version uint16
		suites  []uint16
		in      bool
	}{
		{"1.3", tls.VersionTLS13, nil, true},
		{"1.2", tls.VersionTLS12, nil, true},
		{"1.1", tls.VersionTLS11, nil, false},
		{"1.2 with CBC", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}, false},
	} {
		config := client(t, ours, &shown)
		config.MinVersion, config.MaxVersion, config.CipherSuites = test.version, test.version, test.suites
		if got, _, server := l.call(t, config); (got == "hello") != test.in {
			t.Errorf("%s: got %q, the server %v, want an answer: %t", test.name, got, server.err, test.in)
		}
	}
}

// A client must not be accepted again because of a resumed session.
func TestClientsOfAReplacedAuthorityAreRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		before, after := authority(t, "before"), authority(t, "after")
		l := listen(t, set(issue(t, before, nil, "authz"), before), func(c *tlsfiles.Listener) { c.MinTLSVersion = tlsfiles.TLS12 })
		old, renewed := issue(t, before, nil, gateway), issue(t, after, nil, gateway)
		remembers := client(t, before, &old)
		remembers.MaxVersion = version
		in := func(when string, config *tls.Config, want bool) accepted {
			t.Helper()
			got, state, server := l.call(t, config)
			if (got == "hello") != want || state.DidResume {
				t.Errorf("%s, %s: got %q, resumed %t, the server %v, want an answer: %t", tls.VersionName(version), when, got, state.DidResume, server.err, want)
			}
			return server
		}
		in("at first", remembers, true)
		first := in("again", remembers, true)
		state := first.conn.ConnectionState()
		if err := l.Trusts(&state); err != nil {
			t.Errorf("an open connection: %v", err)
		}

		l.put(map[string][]byte{"ca": []byte("half a file")})
		l.Reload()
		in("with authorities that cannot be read", remembers, true)
		in("with authorities that cannot be read, without a certificate", client(t, before, nil), false)

		l.put(map[string][]byte{"ca": parts.Bundle(before, after)})
		l.Reload()
		in("the old one beside the new one", remembers, true)
		in("the new one beside the old one", client(t, before, &renewed), true)

		l.put(set(issue(t, after, nil, "authz"), after))
		l.Reload()
		withNewRoots := remembers.Clone()
		withNewRoots.RootCAs = client(t, after, nil).RootCAs
		withNewRoots.ClientSessionCache = remembers.ClientSessionCache
		in("the old one after it was replaced", withNewRoots, false)
		in("the new one after it", client(t, after, &renewed), true)
		if err := l.Trusts(&state); err == nil {
			t.Error("an open connection of the old authority is still trusted")
		}
	}
}

func TestAClientCAWithoutAServerCertificateIsAnError(t *testing.T) {
	t.Parallel()
	for _, l := range []tlsfiles.Listener{{ClientCAFile: "ca"}, {KeyFile: "key"}, {CertFile: "cert"}} {
		if !l.Encrypted() || l.Validate() == nil {
			t.Errorf("%+v: encrypted %t, Validate() = %v", l, l.Encrypted(), l.Validate())
		}
		if _, err := tlsfiles.NewServer("grpc", l, nil, zap.NewNop()); err == nil {
			t.Errorf("NewServer(%+v) gave no error", l)
		}
	}
	if err := (tlsfiles.Listener{CertFile: "c", KeyFile: "k", MinTLSVersion: "1.1"}).Validate(); err == nil || !strings.Contains(err.Error(), "min_tls_version") {
		t.Errorf("version 1.1: got %v", err)
	}
}
