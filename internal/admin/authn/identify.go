package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/clientcert"
)

type tokenRule struct {
	name string
	hash []byte
	role Role
}

type clientRule struct {
	name clientcert.Name
	role Role
}

// authenticate returns the caller. If both a certificate and a token are required, both
// must be good, and the weaker role counts.
func (g *Authenticator) authenticate(r *http.Request) (Caller, *refusal) {
	c := Caller{Name: "anybody", By: "nothing", Role: RoleWrite}
	if g.clients != nil {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return Caller{}, refuse(causeCertificate, http.StatusUnauthorized, "A client certificate is needed")
		}
		leaf := r.TLS.VerifiedChains[0][0]
		if c = g.callerOf(leaf); c.Role == "" {
			return Caller{}, refuse(causeCertificate, http.StatusForbidden, "The client certificate has no name of admin.client_names", zap.String("certificate", clientcert.Identity(leaf)))
		}
	}
	if len(g.tokens) == 0 {
		return c, nil
	}
	t := g.tokenOf(r.Header)
	switch {
	case t.role == "":
		return Caller{}, refuse(causeToken, http.StatusUnauthorized, "Unauthorized")
	case g.clients != nil:
		return Caller{Name: t.name + " (" + c.Name + ")", By: "token and certificate", Role: weaker(t.role, c.Role)}, nil
	}
	return Caller{Name: t.name, By: "token", Role: t.role}, nil
}

// callerOf returns the caller of the most precise name in a certificate. Of two equally
// precise names, the one with the weaker role counts.
func (g *Authenticator) callerOf(leaf *x509.Certificate) Caller {
	c, precision := Caller{By: "certificate"}, 0
	for _, rule := range g.clients {
		as, ok := rule.name.Match(leaf)
		switch p := rule.name.Precision(); {
		case !ok || p < precision:
		case p > precision:
			c.Name, c.Role, precision = as, rule.role, p
		case weaker(c.Role, rule.role) != c.Role:
			c.Name, c.Role = as, rule.role
		}
	}
	return c
}

// headerKong is where clients of Kong Enterprise put their token.
const headerKong = "Kong-Admin-Token"

// tokenIn returns the token of a call, "" if there is not exactly one in the two
// headers: two tokens might belong to two callers.
func tokenIn(h http.Header) string {
	bearer, kong := h.Values("Authorization"), h.Values(headerKong)
	switch {
	case len(bearer)+len(kong) != 1:
		return ""
	case len(kong) == 1:
		return strings.TrimSpace(kong[0])
	}
	scheme, token, isPair := strings.Cut(bearer[0], " ")
	if !isPair || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// tokenOf compares the hash with that of every token, so that the time it takes reveals
// nothing. It returns the zero rule if no token matches.
func (g *Authenticator) tokenOf(h http.Header) (found tokenRule) {
	token := tokenIn(h)
	if token == "" {
		return tokenRule{}
	}
	hash := sha256.Sum256([]byte(token))
	for _, t := range g.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash) == 1 {
			found = t
		}
	}
	return found
}
