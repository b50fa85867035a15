package vaultkv_test

import (
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// Each thing that can be wrong with a certificate is named, with what is needed
// to mend it.
func TestCertificateErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	ended := time.Now().Add(-time.Hour).UTC()
	tests := []struct {
		name string
		edit func(*x509.Certificate)
		ca   bool
		want []string
	}{
		{"expired", func(c *x509.Certificate) { c.NotAfter = ended }, true, []string{"expired at " + ended.Format(time.RFC3339), "renew it, or check our clock", ": our clock says "}},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }, true, []string{"not valid before ", "check the clocks of both", ": our clock says "}},
		{"other names", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"vault.internal"} }, true, []string{`not made for "127.0.0.1" but for "vault.internal"`, "set server_name"}},
		{"another IP", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, true, []string{`but for "10.0.0.1"`}},
		{"many names", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, strings.Split("a,b,c,d,e,f,g", ",") }, true, []string{`"e" and 2 more`}},
		{"no names", func(c *x509.Certificate) { c.IPAddresses = nil }, true, []string{"no name at all"}},
		{"unknown authority", nil, false, []string{`unknown authority "CN=the authority"`, "set ca_file"}},
		{"not for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, true, []string{"is not valid"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t, "the authority")
			pair, _, _ := ca.sign(2, tt.edit)
			n := newTLSNode(t, pair, nil)
			file := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, file, ca.pem)
			v, s, logs := open(t, n.URL, func(c *vaultkv.Config) {
				c.Timeout = 20 * time.Second
				if tt.ca {
					c.CAFile = file
				}
			})
			for i := range 3 {
				_, err := s.Lookup(t.Context(), accessToken)
				if !errors.Is(err, authz.ErrUnavailable) {
					t.Errorf("Lookup = %v, want unavailable", err)
				}
				for _, want := range tt.want {
					// The circuit breaker may reject the others by now.
					if i == 0 && !strings.Contains(err.Error(), want) {
						t.Errorf("Lookup = %v, want an error with %q", err, want)
					}
				}
				wantNoTokens(t, err, logs)
			}
			if got := v.State(); got != vaultkv.StateUnreachable {
				t.Errorf("State() = %s, want %s", got, vaultkv.StateUnreachable)
			}
			if got := logs.FilterMessage("vault state changed").Len(); got != 1 {
				t.Errorf("%d lines about the state, want one", got)
			}
		})
	}
}
