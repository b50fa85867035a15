package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A decisionCase is a request with its expected decision.
type decisionCase struct {
	name string
	// policy is the policy that the route names, or unnamed. Empty means "default"
	// and "v2": the case runs on both versions of KV.
	policy, host string
	// make prepares Vault and returns the request without its path.
	make   func(t *testing.T, bed *testbed) request
	reason authz.Reason
	// allowed are the identity headers that the upstream receives, nil if the
	// request is denied.
	allowed map[string]string
}

// unnamed is for requests whose route names no policy.
const unnamed = "-"

// asAlice returns the identity headers of alice, without the credential's.
func asAlice() map[string]string {
	return map[string]string{
		"x-consumer-id": aliceID, "x-consumer-custom-id": "c-1", "x-consumer-username": "alice", "x-consumer-groups": "gold, eu",
	}
}

// noIdentity is for requests that are allowed without an identity.
func noIdentity() map[string]string { return map[string]string{} }

// record returns a request with the pair of a new record with these changes.
func record(consumer string, changes map[string]any) func(*testing.T, *testbed) request {
	return func(t *testing.T, bed *testbed) request {
		t.Helper()
		return request{header: bed.credential(t, consumer, changes).headers()}
	}
}

// plain returns a request with header lines that need no record.
func plain(header ...field) func(*testing.T, *testbed) request {
	return func(*testing.T, *testbed) request { return request{header: header} }
}

func decisionCases() []decisionCase {
	future, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	preflight := []field{{"origin", "https://app.test"}, {"access-control-request-method", "PUT"}}
	options := func(header ...field) func(*testing.T, *testbed) request {
		return func(*testing.T, *testbed) request { return request{method: http.MethodOptions, header: header} }
	}
	return []decisionCase{
		{name: "a good pair in headers", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "a good pair in the query", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			return request{target: "?" + bed.credential(t, aliceID, nil).query()}
		}, reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "one token in a header and the other in the query", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{target: "?secret_token=" + p.secret, header: []field{{"Access-Token", p.access}}}
		}, reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "dashes for underscores", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{header: []field{{"Access-Token", p.access}, {"secret-token", p.secret}}}
		}, reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{
			name: "a consumer without custom id and groups", make: record(bobID, nil), reason: authz.ReasonAuthenticated,
			allowed: map[string]string{"x-consumer-id": bobID, "x-consumer-username": "bob"},
		},
		{name: "a record with a ttl that is text", make: record(aliceID, map[string]any{"ttl": "3600"}), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "a record with fields of others", make: record(aliceID, map[string]any{"owner": map[string]any{"team": "x"}}), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "the secret before a rotation, in time", make: rotated(future), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "names of its own", policy: "names", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{header: []field{{"api-id", p.access}, {"x-api-secret", p.secret}}}
		}, reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "a policy chosen by host", policy: unnamed, host: "api.hosts.test", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: asAlice()},

		{name: "no token", make: plain(), reason: authz.ReasonMissingToken},
		{name: "no secret token", make: plain(field{"access_token", "someone"}), reason: authz.ReasonMissingToken},
		{name: "an empty secret token", make: plain(field{"access_token", "someone"}, field{"secret_token", ""}), reason: authz.ReasonMissingToken},
		{name: "names that the policy has replaced", policy: "names", make: record(aliceID, nil), reason: authz.ReasonMissingToken},
		{name: "an access token in two headers", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{header: append(p.headers(), field{"access_token", p.access})}
		}, reason: authz.ReasonDuplicateToken},
		{name: "an access token in both spellings", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{header: append(p.headers(), field{"access-token", p.access})}
		}, reason: authz.ReasonDuplicateToken},
		{name: "a secret token twice in the query", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			return request{target: "?" + p.query() + "&secret_token=" + p.secret}
		}, reason: authz.ReasonDuplicateToken},
		{name: "an access token that is a path", make: plain(field{"access_token", "a/../b"}, field{"secret_token", "s"}), reason: authz.ReasonMalformedToken},
		{name: "an access token of two dots", make: plain(field{"access_token", ".."}, field{"secret_token", "s"}), reason: authz.ReasonMalformedToken},
		{name: "a broken escape in a token", make: func(*testing.T, *testbed) request {
			return request{target: "?access_token=%zz&secret_token=s"}
		}, reason: authz.ReasonMalformedToken},
		{name: "an access token that nobody has", make: func(*testing.T, *testbed) request {
			return request{header: pair{unique("unknown"), unique("secret")}.headers()}
		}, reason: authz.ReasonUnknownToken},
		{name: "a wrong secret", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			p.secret = unique("wrong")
			return request{header: p.headers()}
		}, reason: authz.ReasonWrongSecret},
		{name: "the secret before a rotation, too late", make: rotated(past), reason: authz.ReasonWrongSecret},
		{name: "an expired credential", make: record(aliceID, map[string]any{"expires_at": past}), reason: authz.ReasonExpired},
		{name: "a credential before its time", make: record(aliceID, map[string]any{"not_before": future}), reason: authz.ReasonNotYetValid},
		{name: "a disabled credential", make: record(aliceID, map[string]any{"disabled": true}), reason: authz.ReasonDisabled},
		{name: "a record without a secret", make: record(aliceID, map[string]any{"secret_token": nil}), reason: authz.ReasonMalformedRecord},
		{name: "a record of another access token", make: record(aliceID, map[string]any{"access_token": "another"}), reason: authz.ReasonMalformedRecord},
		{name: "a consumer that is not known", make: record("dead0000-2168-4a09-81e5-e06187a2384f", nil), reason: authz.ReasonUnknownConsumer},

		{name: "anonymous for want of tokens", policy: "anonymous", make: plain(), reason: authz.ReasonAnonymous, allowed: map[string]string{
			"x-consumer-id": guestID, "x-consumer-username": "guest", "x-anonymous-consumer": "true",
		}},
		{name: "anonymous after a wrong secret", policy: "anonymous", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			p := bed.credential(t, aliceID, nil)
			p.secret = unique("wrong")
			return request{header: p.headers()}
		}, reason: authz.ReasonAnonymous, allowed: map[string]string{
			"x-consumer-id": guestID, "x-consumer-username": "guest", "x-anonymous-consumer": "true",
		}},
		{name: "a good pair where anonymous is allowed", policy: "anonymous", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "anonymous in an allowed group", policy: "anonymous-public", make: plain(), reason: authz.ReasonAnonymous, allowed: map[string]string{
			"x-consumer-id": visitorID, "x-consumer-custom-id": "visitor", "x-anonymous-consumer": "true", "x-consumer-groups": "public",
		}},
		{name: "anonymous without the group", policy: "anonymous-acl", make: plain(), reason: authz.ReasonAnonymousACL},

		{name: "a consumer in an allowed group", policy: "acl-allow", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: asAlice()},
		{name: "a consumer in no allowed group", policy: "acl-allow", make: record(bobID, nil), reason: authz.ReasonACL},
		{name: "a consumer in a denied group", policy: "acl-deny", make: record(aliceID, nil), reason: authz.ReasonACL},
		{name: "groups that are not told", policy: "no-groups", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: map[string]string{
			"x-consumer-id": aliceID, "x-consumer-custom-id": "c-1", "x-consumer-username": "alice",
		}},

		{name: "a preflight", policy: "preflight", make: options(preflight...), reason: authz.ReasonPreflight, allowed: noIdentity()},
		{name: "OPTIONS that is no preflight", policy: "preflight", make: options(), reason: authz.ReasonMissingToken},
		{name: "any OPTIONS where that counts", policy: "preflight-any", make: options(), reason: authz.ReasonPreflight, allowed: noIdentity()},
		{name: "a preflight where it is authenticated", make: options(preflight...), reason: authz.ReasonMissingToken},

		{name: "shadow, without tokens", policy: "shadow", make: plain(), reason: authz.ReasonMissingToken, allowed: noIdentity()},
		{name: "shadow, with a good pair", policy: "shadow", make: record(aliceID, nil), reason: authz.ReasonAuthenticated, allowed: noIdentity()},

		{name: "a policy that is not configured", policy: unconfiguredPolicy, make: record(aliceID, nil), reason: authz.ReasonNoPolicy},
		{name: "a policy with an empty name", policy: unnamed, host: parts.PolicyHost(""), make: record(aliceID, nil), reason: authz.ReasonNoPolicy},
		{name: "a path that may be another", policy: unnamed, host: "other.test", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			return request{target: "%2f..", header: bed.credential(t, aliceID, nil).headers()}
		}, reason: authz.ReasonAmbiguousPath},
		{name: "a host that may be another", policy: unnamed, host: "api.hosts.test:1234", make: func(t *testing.T, bed *testbed) request {
			t.Helper()
			return request{header: bed.credential(t, aliceID, nil).headers()}
		}, reason: authz.ReasonAmbiguousHost},
	}
}

// rotated returns a request with the previous secret, which is valid until a time.
func rotated(until int64) func(*testing.T, *testbed) request {
	return func(t *testing.T, bed *testbed) request {
		t.Helper()
		previous := unique("previous")
		p := bed.credential(t, aliceID, map[string]any{"previous_secret_token": previous, "previous_expires_at": until})
		p.secret = previous
		return request{header: p.headers()}
	}
}

// coveredElsewhere are the reasons without a case in the table, and where they are
// tested.
var coveredElsewhere = map[authz.Reason]string{
	authz.ReasonUnset:            "the zero value: no request leads to it",
	authz.ReasonNotHTTP:          "TestAConnectionThatIsNotHTTPIsDenied",
	authz.ReasonUnavailable:      "TestAVaultThatCannotAnswerStaysClosed",
	authz.ReasonCanceled:         "TestAClientThatDisconnectsIsDenied",
	authz.ReasonAmbiguousPolicy:  "refused when the configuration is read, and by the admin API",
	authz.ReasonAnonymousMissing: "refused when the configuration is read",
	authz.ReasonInternal:         "a defect: no request is known to lead to it",
}

func TestEveryReasonHasARequestThatLeadsToIt(t *testing.T) {
	t.Parallel()
	covered := map[authz.Reason]bool{}
	for _, c := range decisionCases() {
		covered[c.reason] = true
	}
	for _, r := range authz.Reasons() {
		if covered[r] == (coveredElsewhere[r] != "") {
			t.Errorf("%s: in the table: %t, elsewhere: %q", r, covered[r], coveredElsewhere[r])
		}
	}
}

// TestARequestIsDecidedByItsTokenPair runs every case over HTTP/1.1 and HTTP/2, with
// headers as a map and raw, on KV versions 1 and 2.
func TestARequestIsDecidedByItsTokenPair(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	for i, c := range decisionCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policies := []string{c.policy}
			if c.policy == "" {
				policies = []string{"default", "v2"}
			}
			for _, policy := range policies {
				for _, listener := range []string{onHeaders, onRaw} {
					for j, p := range protocols() {
						path := fmt.Sprintf("/decided/%d/%s/%s/%d", i, policy, listener, j)
						c.check(t, bed, listener, p, strings.TrimSuffix(policy, unnamed), path)
					}
				}
			}
		})
	}
}

func (c *decisionCase) check(t *testing.T, bed *testbed, listener string, p protocol, policy, path string) {
	t.Helper()
	r := c.make(t, bed)
	r.policy, r.host, r.target = policy, c.host, path+r.target
	a := bed.send(t, listener, p, r)
	where := fmt.Sprintf("policy %q, listener %s, %s", policy, listener, p.name)
	if c.allowed == nil {
		c.checkDenial(t, where, a)
	} else {
		c.checkAllowed(t, where, a)
	}
	sent, _, _ := strings.Cut(r.target, "?")
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if got := bed.metadata(sent).Reason; got != c.reason.String() {
			return fmt.Errorf("%s: Envoy's access log has the reason %q, want %q", where, got, c.reason)
		}
		return nil
	})
	if got, denied := bed.upstream.Reached(sent), c.allowed == nil; (got == 0) != denied {
		t.Errorf("%s: the upstream saw %d requests, denied is %t", where, got, denied)
	}
}

func (c *decisionCase) checkDenial(t *testing.T, where string, a answer) {
	t.Helper()
	if a.status != c.reason.Status() || a.echo != nil {
		t.Fatalf("%s: status = %d, want %d for %s; body %s", where, a.status, c.reason.Status(), c.reason, a.body)
	}
	var body struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Message != c.reason.Message() {
		t.Errorf("%s: body = %s (%v), want the message %q", where, a.body, err, c.reason.Message())
	}
	if got, want := a.header.Get("Content-Type"), "application/json; charset=utf-8"; got != want {
		t.Errorf("%s: Content-Type = %q, want %q", where, got, want)
	}
	challenged := a.header.Get("Www-Authenticate") != ""
	if want := c.reason.Status() == http.StatusUnauthorized && c.reason != authz.ReasonAnonymousACL; challenged != want {
		t.Errorf("%s: WWW-Authenticate = %q, want one: %t", where, a.header.Get("Www-Authenticate"), want)
	}
}

func (c *decisionCase) checkAllowed(t *testing.T, where string, a answer) {
	t.Helper()
	if a.echo == nil {
		t.Fatalf("%s: status = %d, body %s, want it allowed", where, a.status, a.body)
	}
	for _, name := range identityNames {
		got, want := a.echo.Headers[name], c.allowed[name]
		switch {
		case name == "x-credential-identifier":
			// The access token differs from request to request.
			if authenticated := c.reason == authz.ReasonAuthenticated && len(c.allowed) > 0; (len(got) == 1) != authenticated {
				t.Errorf("%s: %s = %q, want one: %t", where, name, got, authenticated)
			}
		case want == "" && len(got) > 0, want != "" && (len(got) != 1 || got[0] != want):
			t.Errorf("%s: %s = %q, want %q", where, name, got, want)
		}
	}
}

// accessLine is a line of Envoy's access log, with the dynamic metadata of
// vault-authz.
type accessLine struct {
	Path     string `json:"path"`
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Policy   string `json:"policy"`
}

// metadata returns the last line in the access log for a path.
func (bed *testbed) metadata(path string) (found accessLine) {
	for line := range strings.SplitSeq(bed.envoy.Log(), "\n") {
		if !strings.Contains(line, path) {
			continue
		}
		var l accessLine
		if json.Unmarshal([]byte(line), &l) == nil && l.Path == path {
			found = l
		}
	}
	return found
}

// TestAPolicyIsChosenByHostAndPath covers gateways whose routes cannot name a policy.
func TestAPolicyIsChosenByHostAndPath(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	// The policy for /orders allows only a group without members.
	tests := []struct {
		name, host, target string
		status             int
	}{
		{"the path itself", "other.test", "/orders", 403},
		{"below it", "other.test", "/orders/7?x=/", 403},
		{"below it, encoded", "other.test", "/%6frders/7", 403},
		{"a longer name", "other.test", "/orders2", 200},
		{"in the query only", "other.test", "/x?/orders", 200},
		{"a dot segment", "other.test", "/x/../orders", 400},
		{"an encoded dot segment", "other.test", "/x/%2e%2e/orders", 400},
		{"an encoded slash", "other.test", "/x%2forders", 400},
		{"two slashes", "other.test", "/x//orders", 400},
		{"a backslash", "other.test", "/x/%5corders", 400},
		{"a parameter", "other.test", "/orders;v=1/7", 400},
		{"a dot at the end", "other.test", "/orders./7", 400},
		{"a blank at the end", "other.test", "/orders%20", 400},
		{"another case", "other.test", "/ORDERS", 200},
		{"another case where it does not count", "api.case.test", "/ADMIN/7", 403},
		{"a path below the host of a policy that comes first", "api.hosts.test", "/admin/7", 403},
		{"a path of a policy without hosts, on the host of another", "api.case.test", "/orders", 403},
		{"the host, with capitals", "API.Hosts.test", "/x", 200},
		{"the host, with a port that the routes may or may not count", "api.hosts.test:443", "/x", 400},
		{"the host, with a dot", "api.hosts.test.", "/x", 400},
		{"not below the host's name", "xhosts.test", "/x", 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := append(p.headers(), field{"x-forwarded-uri", "/x"}, field{"x-original-url", "/x"})
			for _, protocol := range protocols() {
				a := bed.send(t, onHeaders, protocol, request{host: test.host, target: test.target, header: header})
				if a.status != test.status {
					t.Errorf("%s: status = %d, want %d; body %s", protocol.name, a.status, test.status, a.body)
				}
			}
		})
	}
}

// TestUnknownWrongExpiredAndDisabledLookAlike shows that an attacker who guesses cannot
// learn which access tokens exist.
func TestUnknownWrongExpiredAndDisabledLookAlike(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	var first, firstName string
	for _, c := range decisionCases() {
		switch c.reason {
		case authz.ReasonUnknownToken, authz.ReasonWrongSecret, authz.ReasonExpired, authz.ReasonNotYetValid,
			authz.ReasonDisabled, authz.ReasonMalformedRecord, authz.ReasonUnknownConsumer, authz.ReasonMalformedToken:
		default:
			continue
		}
		r := c.make(t, bed)
		r.policy, r.target = "realm", "/alike"+r.target
		a := bed.get(t, r)
		for _, name := range []string{"Date", "X-Envoy-Upstream-Service-Time", "X-Request-Id"} {
			a.header.Del(name)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Fatalf("%s: body %s: %v", c.name, a.body, err)
		}
		delete(body, "request_id")
		// The request id differs from answer to answer, its length does not.
		got := fmt.Sprint(a.status, a.header, body)
		if first == "" {
			first, firstName = got, c.name
		}
		if got != first {
			t.Errorf("%s: %s\n%s: %s", c.name, got, firstName, first)
		}
	}
	if !strings.Contains(first, `realm="orders"`) {
		t.Errorf("the challenge does not name the realm: %s", first)
	}
}

// TestEachReasonIsLogged sends one request for each reason: the decision log limits the
// denials in a second, so the whole table would exceed it.
func TestEachReasonIsLogged(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	seen := map[authz.Reason]bool{}
	for i, c := range decisionCases() {
		if seen[c.reason] {
			continue
		}
		seen[c.reason] = true
		t.Run(c.reason.String(), func(t *testing.T) {
			r := c.make(t, bed)
			r.policy, r.host = strings.TrimSuffix(c.policy, unnamed), c.host
			path := fmt.Sprintf("/logged/%d", i)
			r.target = path + r.target
			sent, _, _ := strings.Cut(r.target, "?")
			var line parts.DecisionLine
			partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
				// Repeated in case the limit suppressed the line.
				if _, err := bed.try(ctx, onHeaders, protocols()[0], r); err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return parts.Await(ctx, nil, func(context.Context) error {
					lines := bed.service.Decisions(sent)
					if len(lines) == 0 {
						return fmt.Errorf("no decision about %q is logged", sent)
					}
					line = lines[0]
					return nil
				})
			})
			decision, status := "allow", 0
			if c.allowed == nil {
				decision, status = "deny", c.reason.Status()
			}
			if line.Reason != c.reason.String() || line.Decision != decision || line.Status != status || line.Method == "" {
				t.Errorf("logged %+v, want %s for %s with status %d", line, decision, c.reason, status)
			}
		})
	}
}

// TestAConnectionThatIsNotHTTPIsDenied uses Envoy's network filter, whose checks have no
// HTTP attributes.
func TestAConnectionThatIsNotHTTPIsDenied(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	a, err := bed.try(t.Context(), onTCP, protocols()[0], request{target: "/not-http", header: bed.credential(t, aliceID, nil).headers()})
	if err == nil {
		t.Fatalf("the connection was allowed: %+v", a)
	}
	if n := bed.upstream.Reached("/not-http"); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		n, err := bed.envoy.Counter(ctx, "ext_authz.tcp.denied")
		if err == nil && n == 0 {
			err = fmt.Errorf("Envoy has counted no denial")
		}
		return err
	})
}

// TestEnvoyCountsADenialAsADenial shows that no denial is an error, which
// failure_mode_allow would turn into an allow.
func TestEnvoyCountsADenialAsADenial(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	good := bed.credential(t, aliceID, nil)
	bad := pair{good.access, unique("wrong")}
	for range 2 {
		bed.send(t, onStats, protocols()[0], request{policy: "default", target: "/counted", header: good.headers()})
	}
	for _, header := range [][]field{nil, bad.headers(), append(good.headers(), good.headers()...)} {
		bed.send(t, onStats, protocols()[1], request{policy: "default", target: "/counted", header: header})
	}
	for name, want := range map[string]int{"ok": 2, "denied": 3, "error": 0, "failure_mode_allowed": 0, "invalid": 0} {
		got, err := bed.envoy.Counter(t.Context(), "http."+onStats+".ext_authz."+name)
		if err != nil || got != want {
			t.Errorf("ext_authz.%s = %d, %v, want %d", name, got, err, want)
		}
	}
}
