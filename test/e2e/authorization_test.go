package e2e

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// TestTheAuthorizationHeaderCarriesTokensWhereThePolicySaysSo tries Basic and Bearer,
// with headers that Envoy joins and with raw headers, in both versions of HTTP.
func TestTheAuthorizationHeaderCarriesTokensWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	basic := func(p pair) field {
		return field{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(p.access+":"+p.secret))}
	}
	bearer := func(p pair) field { return field{"authorization", "Bearer " + p.access} }
	secret := field{"secret-token", p.secret}
	wrong := pair{p.access, "wrong"}
	const basicChallenge, bearerChallenge = `Basic realm="shop"`, "Bearer"
	tests := []struct {
		name, policy, query string
		header              []field
		// challenge is the challenge of the denial, empty if the request is allowed.
		challenge string
	}{
		{name: "basic", policy: "basic", header: []field{basic(p)}},
		{name: "basic, and the pair in headers of their own", policy: "basic", header: p.headers()},
		{name: "basic with a wrong secret", policy: "basic", header: []field{basic(wrong)}, challenge: basicChallenge},
		{name: "basic without a header", policy: "basic", challenge: basicChallenge},
		{name: "basic twice", policy: "basic", header: []field{basic(p), basic(p)}, challenge: basicChallenge},
		{name: "basic, a wrong one first", policy: "basic", header: []field{basic(wrong), basic(p)}, challenge: basicChallenge},
		{name: "basic beside the pair in headers", policy: "basic", header: append(p.headers(), basic(p)), challenge: basicChallenge},
		{name: "basic with a wrong secret beside the right one in the query", policy: "basic", query: "?secret_token=" + p.secret, header: []field{basic(wrong)}, challenge: basicChallenge},
		{name: "bearer to a policy for basic", policy: "basic", header: []field{bearer(p), secret}, challenge: basicChallenge},
		{name: "bearer", policy: "bearer", header: []field{bearer(p), secret}},
		{name: "bearer twice", policy: "bearer", header: []field{bearer(p), bearer(p), secret}, challenge: bearerChallenge},
		{name: "bearer beside the token in a header", policy: "bearer", header: append(p.headers(), bearer(p)), challenge: bearerChallenge},
		{name: "bearer without a secret", policy: "bearer", header: []field{bearer(p)}, challenge: bearerChallenge},
		{name: "basic to a policy for bearer", policy: "bearer", header: []field{basic(p)}, challenge: bearerChallenge},
		{name: "basic to a policy without a scheme", policy: "default", header: []field{basic(p)}, challenge: "VaultAuth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, listener := range []string{onHeaders, onRaw, onValidated} {
				for _, protocol := range protocols() {
					a := bed.send(t, listener, protocol, request{policy: test.policy, target: "/authorization" + test.query, header: test.header})
					if test.challenge != "" {
						if got := a.header.Get("WWW-Authenticate"); a.status != http.StatusUnauthorized || got != test.challenge {
							t.Errorf("listener %s, %s: status = %d, challenge %q, want 401 and %q", listener, protocol.name, a.status, got, test.challenge)
						}
						continue
					}
					if a.echo == nil {
						t.Errorf("listener %s, %s: status = %d, want 200; body %s", listener, protocol.name, a.status, a.body)
						continue
					}
					if got := a.echo.Headers["x-consumer-username"]; len(got) != 1 || got[0] != "alice" {
						t.Errorf("listener %s, %s: x-consumer-username = %q, want alice", listener, protocol.name, got)
					}
					for name, values := range a.echo.Headers {
						if name == "authorization" || strings.Contains(strings.Join(values, " "), p.secret) {
							t.Errorf("listener %s, %s: the upstream gets the header %s", listener, protocol.name, name)
						}
					}
				}
			}
		})
	}
}
