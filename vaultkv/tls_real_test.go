package vaultkv_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestRealServerBehindTLS is what a real server, new and with TLS, makes of each
// mistake in the way to it; and then its certificate and authority are replaced
// while it runs.
func TestRealServerBehindTLS(t *testing.T) {
	t.Parallel()
	name := partstest.Binary(t, "BAO_BIN")
	dir, address := t.TempDir(), freeAddress(t)
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	named := func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"vault.internal"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	serve := func(a *authority) {
		_, cert, key := a.sign(2, named)
		writeFile(t, certFile, cert)
		writeFile(t, keyFile, key)
	}
	serve(before)
	writeFile(t, caFile, before.pem)
	config := filepath.Join(dir, "bao.hcl")
	writeFile(t, config, fmt.Sprintf("storage \"inmem\" {}\napi_addr = \"https://%[1]s\"\nlistener \"tcp\" {\n  address = %[1]q\n  tls_cert_file = %[2]q\n  tls_key_file = %[3]q\n}\n", address, certFile, keyFile))
	s := run(t, parts.Command{Name: "bao", Path: name, Args: []string{"server", "-config=" + config}, Env: append(os.Environ(), "HOME="+dir)})
	wait(t, "OpenBao to listen", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})

	tests := []struct {
		name string
		edit func(*vaultkv.Config)
		want string
	}{
		{"new", func(c *vaultkv.Config) { c.CAFile = caFile }, "is not initialised"},
		{"under its other name", func(c *vaultkv.Config) { c.CAFile, c.TLSServerName = caFile, "vault.internal" }, "is not initialised"},
		{"under another name", func(c *vaultkv.Config) { c.CAFile, c.TLSServerName = caFile, "vault.example" }, `not made for "vault.example" but for "vault.internal", "127.0.0.1"`},
		{"without ca_file", func(*vaultkv.Config) {}, `unknown authority "CN=before"; put that`},
		{"as plain HTTP", func(c *vaultkv.Config) { c.Address = "http://" + address }, "speaks TLS on that port"},
	}
	for _, tt := range tests {
		v, _, logs := open(t, "https://"+address, func(c *vaultkv.Config) {
			c.Timeout = 20 * time.Second
			tt.edit(c)
		})
		_ = v.Check(t.Context())
		err := v.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Check = %v, want an error with %q", tt.name, err, tt.want)
		}
		wantNoTokens(t, err, logs)
	}

	v, store, _ := open(t, "https://"+address, func(c *vaultkv.Config) { c.CAFile, c.Timeout = caFile, 20*time.Second })
	want := func(when, text string) {
		t.Helper()
		wait(t, when, func() error {
			v.DropConnections()
			v.CloseBreaker()
			if _, err := store.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), text) {
				return fmt.Errorf("Lookup = %w, want unavailable with %q", err, text)
			}
			return nil
		})
	}
	want("the server to answer", "is sealed")
	serve(after)
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	want("the server to have its new certificate", `unknown authority "CN=after"`)
	writeFile(t, caFile, after.pem)
	want("ca_file to be read again", "is sealed")
}
