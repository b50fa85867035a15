package login

import (
	"context"
	"errors"
)

// JWT logs in with a signed token of some issuer (OIDC, SPIFFE, a cloud).
type JWT struct {
	Mount Mount
	Role  string
	// TokenFile contains the signed token. Another process has to replace it before
	// it expires.
	TokenFile string
}

var _ Method = JWT{}

// Name implements [Method].
func (JWT) Name() string { return "jwt" }

func (m JWT) mount() Mount { return m.Mount }

func (m JWT) validate(*Config) error {
	return errors.Join(m.Mount.validate(), required("role", m.Role, "token_file", m.TokenFile), plainText("role", m.Role))
}

func (m JWT) request(context.Context, *Session) (string, map[string]any, error) {
	return jwtRequest(m.Role, m.TokenFile, "JWT")
}

func (JWT) advice(a *Answer) string {
	return adviceFor(a, [][2]string{
		{"could not be found", "there is no role of this name; correct role, or create the role"},
		{"audience", "the JWT is for another audience than the role's bound_audiences"},
		{"expired", "the JWT has expired; check that its file is replaced, and the clocks"},
		{"before the nbf", "the JWT is not valid yet; check the clocks"},
		{"issued at", "the JWT is not valid yet; check the clocks"},
		{"issuer", "the JWT is of another issuer than the method's bound_issuer"},
		{"signature", "the JWT is not signed by a key that the method knows; check jwks_url, oidc_discovery_url or jwt_validation_pubkeys"},
		{"claim", "the JWT lacks claims that the role requires; see bound_subject, bound_claims and user_claim of the role"},
		{"subject", "the JWT is of another subject than the role's bound_subject"},
	}, "the server does not accept the JWT; see the role and the configuration of the auth method; or "+checkMount(JWT{}))
}
