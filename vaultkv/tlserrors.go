package vaultkv

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// maxNames bounds how many names of a certificate a message lists.
const maxNames = 5

// tlsProblem explains an error of TLS, and returns nil for any other error. Texts from the
// server's certificate are quoted.
func (v *Vault) tlsProblem(where string, err error) *Error {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &certificate):
		return v.certificateProblem(where, certificate)
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		return fail(StateUnreachable, 0, "%s answers in plain HTTP; set address to http:// if that is meant, or to the port that speaks TLS", where)
	case errors.As(err, &record):
		return fail(StateUnreachable, 0, "%s does not speak TLS; check the scheme and the port of address", where)
	}
	alert := tlsAlert(err)
	switch {
	case alert == nil:
		return nil
	case strings.Contains(alert.Error(), "certificate"), strings.Contains(alert.Error(), "certificate authority"):
		if v.cfg.ClientCertFile == "" {
			return fail(StateUnreachable, 0, "%s requires a client certificate (%q); set client_cert_file and client_key_file", where, alert.Error())
		}
		return fail(StateUnreachable, 0, "%s does not accept our client certificate (%q); check client_cert_file, and which authorities the server trusts", where, alert.Error())
	case strings.Contains(alert.Error(), "protocol version"):
		return fail(StateUnreachable, 0, "%s supports no version of TLS that we support; enable TLS 1.2 or newer on the server", where)
	}
	return fail(StateUnreachable, 0, "%s ended the TLS handshake (%q); see its log", where, alert.Error())
}

// tlsAlert returns the TLS alert by which the server ended the connection, or nil. Its text
// is one of a fixed set.
func tlsAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err
	}
	return nil
}

func (v *Vault) certificateProblem(where string, err *tls.CertificateVerificationError) *Error {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err.Err, &authority):
		issuer := ""
		if authority.Cert != nil {
			issuer = authority.Cert.Issuer.String()
		}
		if v.cfg.CAFile == "" {
			return fail(StateUnreachable, 0, "the TLS certificate of %s is not trusted: unknown authority %q; put that authority's certificate into a file and set ca_file", where, issuer)
		}
		return fail(StateUnreachable, 0, "the TLS certificate of %s is not trusted: unknown authority %q; it is not in ca_file %q, add its certificate there", where, issuer, v.cfg.CAFile)
	case errors.As(err.Err, &host) && host.Certificate != nil:
		return fail(StateUnreachable, 0, "the TLS certificate of %s is not made for %q but for %s; set server_name to one of these, or correct address", where, host.Host, certificateNames(host.Certificate))
	case errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return validityProblem(where, invalid.Cert, time.Now())
	}
	return fail(StateUnreachable, 0, "the TLS certificate of %s is not valid (%T); check it and ca_file", where, err.Err)
}

func validityProblem(where string, c *x509.Certificate, now time.Time) *Error {
	problem := fail(StateUnreachable, 0, "the TLS certificate of %s (%q) expired at %s; renew it, or check our clock", where, c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
	if now.Before(c.NotBefore) {
		problem = fail(StateUnreachable, 0, "the TLS certificate of %s (%q) is not valid before %s; check the clocks of both", where, c.Subject, c.NotBefore.UTC().Format(time.RFC3339))
	}
	problem.moment = ": our clock says " + now.UTC().Format(time.RFC3339)
	return problem
}

func certificateNames(c *x509.Certificate) string {
	var names []string
	for _, name := range c.DNSNames {
		names = append(names, fmt.Sprintf("%.100q", name))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, fmt.Sprintf("%q", ip.String()))
	}
	switch {
	case len(names) == 0:
		return "no name at all (its subject does not count)"
	case len(names) > maxNames:
		return strings.Join(names[:maxNames], ", ") + fmt.Sprintf(" and %d more", len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}
