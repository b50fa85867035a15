package vaultkv_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A tlsNode is a fake server whose certificate can be changed while it runs.
type tlsNode struct {
	*httptest.Server
	pair atomic.Pointer[tls.Certificate]
	// client is the serial number of the certificate that was shown last.
	client atomic.Int64
}

func newTLSNode(t *testing.T, pair tls.Certificate, clients *x509.CertPool) *tlsNode {
	t.Helper()
	n := &tlsNode{}
	n.pair.Store(&pair)
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			n.client.Store(r.TLS.PeerCertificates[0].SerialNumber.Int64())
		}
		notFound(w, r)
	}))
	n.Config.ErrorLog = log.New(io.Discard, "", 0)
	auth := tls.NoClientCert
	if clients != nil {
		auth = tls.RequireAndVerifyClientCert
	}
	n.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{
				MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
				Certificates: []tls.Certificate{*n.pair.Load()}, ClientCAs: clients, ClientAuth: auth,
			}, nil
		},
	}
	n.EnableHTTP2 = true
	n.StartTLS()
	t.Cleanup(n.Close)
	return n
}

func TestServerAndAuthorityMayBeRotated(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	first, _, _ := before.sign(2, nil)
	n := newTLSNode(t, first, nil)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, before.pem)
	v, s, logs := open(t, n.URL, func(c *vaultkv.Config) { c.CAFile, c.Timeout = ca, 20*time.Second })
	want := func(when string, want error, text string) {
		t.Helper()
		_, err := s.Lookup(t.Context(), accessToken)
		v.CloseBreaker()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Fatalf("%s: Lookup = %v, want %v with %q", when, err, want, text)
		}
	}
	want("at first", authz.ErrNotFound, "")

	renewed, _, _ := before.sign(3, nil)
	n.pair.Store(&renewed)
	v.DropConnections()
	want("certificate of the same authority", authz.ErrNotFound, "")

	other, _, _ := after.sign(2, nil)
	n.pair.Store(&other)
	want("an old connection lives on", authz.ErrNotFound, "")
	v.DropConnections()
	want("authority not known", authz.ErrUnavailable, `unknown authority "CN=after"`)
	writeFile(t, ca, "half a file")
	want("file being written", authz.ErrUnavailable, "unknown authority")
	want("file being written", authz.ErrUnavailable, "unknown authority")
	writeFile(t, ca, after.pem)
	// The failure itself has the file read again.
	want("file is new, and not read yet", authz.ErrUnavailable, "unknown authority")
	want("file was read again", authz.ErrNotFound, "")

	if got := logs.FilterMessageSnippet("TLS files not read again").Len(); got != 1 {
		t.Errorf("%d lines about the bad file, want one", got)
	}
}

// TestFilesAreReadAgainWithoutAFailure: Run looks at them as well.
func TestFilesAreReadAgainWithoutAFailure(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	first, _, _ := before.sign(2, nil)
	n := newTLSNode(t, first, nil)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, before.pem)
	v, s, _ := open(t, n.URL, func(c *vaultkv.Config) { c.CAFile, c.Timeout = ca, 20*time.Second })
	other, _, _ := after.sign(2, nil)
	n.pair.Store(&other)
	writeFile(t, ca, after.pem)
	v.Maintain(t.Context())
	if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
	}
}

func TestClientCertificateIsShownAndRotated(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	serverPair, _, _ := ca.sign(2, nil)
	n := newTLSNode(t, serverPair, ca.pool())
	dir := t.TempDir()
	caFile, certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_, cert, key := ca.sign(100, nil)
	writeFile(t, caFile, ca.pem)
	writeFile(t, certFile, cert)
	writeFile(t, keyFile, key)
	v, s, logs := open(t, n.URL, func(c *vaultkv.Config) {
		c.CAFile, c.ClientCertFile, c.ClientKeyFile, c.Timeout = caFile, certFile, keyFile, 20*time.Second
	})
	want := func(when string, serial int64) {
		t.Helper()
		_, err := s.Lookup(t.Context(), accessToken)
		if !errors.Is(err, authz.ErrNotFound) {
			t.Fatalf("%s: Lookup = %v, want %v", when, err, authz.ErrNotFound)
		}
		if got := n.client.Load(); got != serial {
			t.Errorf("%s: the server was shown certificate %d, want %d", when, got, serial)
		}
		wantNoTokens(t, err, logs, strings.Split(key, "\n")[1])
	}
	want("at first", 100)
	_, cert, key = ca.sign(101, nil)
	writeFile(t, certFile, cert)
	v.Maintain(t.Context())
	want("certificate without its key", 100)
	writeFile(t, keyFile, key)
	v.Maintain(t.Context())
	want("certificate with its key", 101)

	bare, store, _ := open(t, n.URL, func(c *vaultkv.Config) { c.CAFile = caFile })
	_, err := store.Lookup(t.Context(), accessToken)
	if !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), "client_cert_file") {
		t.Errorf("Lookup without a certificate = %v, want unavailable with the setting", err)
	}
	if got := bare.State(); got != vaultkv.StateUnreachable {
		t.Errorf("State() = %s, want %s", got, vaultkv.StateUnreachable)
	}
}

func TestNewNeedsAClientCertificateWithItsKey(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	_, cert, _ := ca.sign(1, nil)
	_, _, key := ca.sign(2, nil)
	dir := t.TempDir()
	c := goodConfig()
	c.ClientCertFile, c.ClientKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, c.ClientCertFile, cert)
	writeFile(t, c.ClientKeyFile, key)
	log, _ := newLog()
	if _, err := vaultkv.New(c, log); err == nil || !strings.Contains(err.Error(), "not a certificate with its key") {
		t.Errorf("New() = %v, want an error about the pair", err)
	}
}
