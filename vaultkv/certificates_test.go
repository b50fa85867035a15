package vaultkv_test

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// An authority signs certificates for tests.
type authority struct {
	*parts.Authority

	t   *testing.T
	pem string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a, err := parts.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{a, t, string(a.PEM)}
}

// sign returns a certificate for 127.0.0.1 and both uses, and its two files.
func (a *authority) sign(serial int64, edit func(*x509.Certificate)) (pair tls.Certificate, certPEM, keyPEM string) {
	a.t.Helper()
	issued, err := a.Issue(func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(serial)
		if edit != nil {
			edit(c)
		}
	}, "127.0.0.1")
	if err != nil {
		a.t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(issued.Certificate, issued.Key); err != nil {
		a.t.Fatal(err)
	}
	return pair, string(issued.Certificate), string(issued.Key)
}

// pool trusts this authority only.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.PEM)
	return pool
}
