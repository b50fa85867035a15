package vaultkv

import (
	"context"
	"errors"
)

// JWT logs in with a signed token of some issuer (OIDC, SPIFFE, a cloud).
type JWT struct {
	LoginPlace
	Role string
	// TokenFile holds the signed token, which somebody else replaces before it
	// expires.
	TokenFile string
}

var _ Login = JWT{}

// Method implements [Login].
func (JWT) Method() string { return "jwt" }

func (l JWT) place() LoginPlace { return l.LoginPlace }

func (l JWT) validate(*Config) error {
	return errors.Join(l.LoginPlace.validate(), required("role", l.Role, "token_file", l.TokenFile), plainText("role", l.Role))
}

func (l JWT) request(context.Context, *session) (string, map[string]any, *Error) {
	return jwtRequest(l.Role, l.TokenFile, "JWT")
}

func (JWT) advice(a *answer) string {
	return adviceFor(a, [][2]string{
		{"could not be found", "there is no role of this name; correct role, or create the role"},
		{"audience", "the JWT is for another audience than the role's bound_audiences"},
		{"expired", "the JWT has expired; check that its file is replaced, and the clocks"},
		{"before the nbf", "the JWT is not valid yet; check the clocks"},
		{"issued at", "the JWT is not valid yet; check the clocks"},
		{"issuer", "the JWT is of another issuer than the method's bound_issuer"},
		{"signature", "the JWT is not signed by a key that the method knows; check jwks_url, oidc_discovery_url or jwt_validation_pubkeys"},
		{"claim", "the JWT has not the claims that the role asks for; see bound_subject, bound_claims and user_claim of the role"},
		{"subject", "the JWT is of another subject than the role's bound_subject"},
	}, "the server does not take the JWT; see the role and the configuration of the auth method; or "+noMethod(JWT{}))
}
