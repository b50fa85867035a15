package vaultkv_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestAConnectionThatEndsMayWantACertificate: a server that wants a certificate
// says so after the handshake, and what it says may be lost with the connection.
// So whoever has none is told of it, and nobody else.
func TestAConnectionThatEndsMayWantACertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	pair, _, _ := ca.sign(2, nil)
	_, cert, key := ca.sign(3, nil)
	dir := t.TempDir()
	caFile, certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, caFile, ca.pem)
	writeFile(t, certFile, cert)
	writeFile(t, keyFile, key)
	tests := []struct {
		name, scheme string
		edit         func(*vaultkv.Config)
		hint         bool
	}{
		{"TLS, without a certificate", "https://", func(c *vaultkv.Config) { c.CAFile = caFile }, true},
		{"TLS, with a certificate", "https://", func(c *vaultkv.Config) { c.CAFile, c.ClientCertFile, c.ClientKeyFile = caFile, certFile, keyFile }, false},
		{"no TLS", "http://", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var secure *tls.Config
			if test.scheme == "https://" {
				secure = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
			}
			_, s, _ := open(t, test.scheme+endAtOnce(t, secure), test.edit)
			_, err := s.Lookup(t.Context(), accessToken)
			if err == nil || strings.Contains(err.Error(), "client_cert_file") != test.hint {
				t.Errorf("Lookup = %v; to speak of client_cert_file: %t", err, test.hint)
			}
		})
	}
}

// endAtOnce listens, ends each connection as soon as it has come about, and returns
// its address.
func endAtOnce(t *testing.T, secure *tls.Config) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if secure != nil {
				_ = tls.Server(conn, secure).HandshakeContext(t.Context())
			}
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}
