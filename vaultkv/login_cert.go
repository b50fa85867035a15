package vaultkv

import (
	"context"
	"errors"
)

// Cert logs in with the client certificate of the connection,
// Config.ClientCertFile.
type Cert struct {
	LoginPlace
	// Role is the name of the certificate role. Empty lets the server look for
	// one that fits.
	Role string
}

var _ Login = Cert{}

// Method implements [Login].
func (Cert) Method() string { return "cert" }

func (l Cert) place() LoginPlace { return l.LoginPlace }

func (l Cert) validate(c *Config) error {
	errs := []error{l.LoginPlace.validate(), plainText("role", l.Role)}
	if c.ClientCertFile == "" || c.ClientKeyFile == "" {
		errs = append(errs, errors.New("role: the login is by the client certificate of the connection; set client_cert_file and client_key_file beside login"))
	}
	return errors.Join(errs...)
}

func (l Cert) request(context.Context, *session) (string, map[string]any, *Error) {
	if l.Role == "" {
		return "login", map[string]any{}, nil
	}
	return "login", map[string]any{"name": l.Role}, nil
}

func (Cert) advice(a *answer) string {
	return adviceFor(a, [][2]string{
		{"client certificate must be supplied", "the server saw no client certificate: something in between ends TLS, or the listener has tls_disable_client_certs"},
		{"no chain matching", "the client certificate does not fit the role: it is not signed by the role's certificate, or its names are not among the allowed ones"},
		{"failed to match", "the client certificate does not fit the role: it is not signed by the role's certificate, or its names are not among the allowed ones"},
		{"no cert", "there is no certificate role of this name; correct role, or create the role"},
	}, "the server does not take the client certificate, which may be expired, revoked or of another authority; or "+noMethod(Cert{}))
}
