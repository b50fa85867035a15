package login

import (
	"context"
	"errors"
)

// Cert logs in with the client certificate of the connection.
type Cert struct {
	Mount Mount
	// Role is the name of the certificate role. If empty, the server chooses a role
	// that fits.
	Role string
}

var _ Method = Cert{}

// Name implements [Method].
func (Cert) Name() string { return "cert" }

func (m Cert) mount() Mount { return m.Mount }

func (m Cert) validate(c *Config) error {
	errs := []error{m.Mount.validate(), plainText("role", m.Role)}
	if !c.ClientCertificate {
		errs = append(errs, errors.New("role: this login uses the client certificate of the connection; set client_cert_file and client_key_file beside login"))
	}
	return errors.Join(errs...)
}

func (m Cert) request(context.Context, *Session) (string, map[string]any, error) {
	if m.Role == "" {
		return "login", map[string]any{}, nil
	}
	return "login", map[string]any{"name": m.Role}, nil
}

func (Cert) advice(a *Answer) string {
	return adviceFor(a, [][2]string{
		{"client certificate must be supplied", "the server saw no client certificate: something in between ends TLS, or the listener has tls_disable_client_certs"},
		{"no chain matching", "the client certificate does not fit the role: it is not signed by the role's certificate, or its names are not among the allowed ones"},
		{"failed to match", "the client certificate does not fit the role: it is not signed by the role's certificate, or its names are not among the allowed ones"},
		{"no cert", "there is no certificate role of this name; correct role, or create the role"},
	}, "the server does not accept the client certificate, which may be expired, revoked or of another authority; or "+checkMount(Cert{}))
}
