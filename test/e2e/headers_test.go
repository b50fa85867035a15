package e2e

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// identityNames are the headers that an upstream trusts.
var identityNames = []string{
	"x-consumer-id", "x-consumer-custom-id", "x-consumer-username", "x-credential-identifier",
	"x-anonymous-consumer", "x-consumer-groups", "x-authenticated-groups",
}

// spellings returns variants of a header name that some upstreams treat as equal.
func spellings(name string) []string {
	last := strings.LastIndexByte(name, '-')
	return []string{
		name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ToUpper(strings.ReplaceAll(name, "-", "_")),
		name[:last] + "_" + name[last+1:], strings.Replace(name, "-", "_", 1), strings.ReplaceAll(name, "-", "."),
	}
}

// The client forges each identity header in each spelling, and repeats it.
func TestASpoofedIdentityHeaderNeverReachesTheUpstream(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	const forged = "forged-by-the-client"
	tests := []struct {
		name, policy string
		tokens       bool
		method       string
		header       []field
	}{
		{name: "authenticated", policy: "default", tokens: true},
		{name: "authenticated, groups not told", policy: "no-groups", tokens: true},
		{name: "authenticated, credential not told", policy: "no-identifier", tokens: true},
		{name: "anonymous", policy: "anonymous"},
		{name: "preflight", policy: "preflight-any", method: "OPTIONS"},
		{name: "shadow", policy: "shadow"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := request{method: test.method, policy: test.policy, target: "/spoofed", header: test.header}
			if test.tokens {
				r.header = append(r.header, bed.credential(t, aliceID, nil).headers()...)
			}
			for _, listener := range []string{onHeaders, onRaw, onValidated} {
				for i, p := range protocols() {
					spoofed := r
					for _, name := range identityNames {
						for _, spelling := range spellings(name) {
							if i == 1 {
								// HTTP/2 has no upper case.
								spelling = strings.ToLower(spelling)
							}
							spoofed.header = append(spoofed.header, field{spelling, forged})
						}
						spoofed.header = append(spoofed.header, field{name, forged + "-again"})
					}
					a := bed.send(t, listener, p, spoofed)
					if a.echo == nil {
						t.Fatalf("listener %s, %s: status = %d, body %s", listener, p.name, a.status, a.body)
					}
					for name, values := range a.echo.Headers {
						if strings.Contains(strings.Join(values, " "), forged) {
							t.Errorf("listener %s, %s: the upstream got %s = %q", listener, p.name, name, values)
						}
					}
				}
			}
		})
	}
}

func TestTheUpstreamGetsEachIdentityHeaderOnce(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	want := asAlice()
	want["x-credential-identifier"] = p.access
	for _, listener := range []string{onHeaders, onRaw} {
		r := request{policy: "default", target: "/once", header: append(p.headers(), field{"X-Consumer-ID", bobID}, field{"x-consumer-id", bobID})}
		a := bed.send(t, listener, protocols()[0], r)
		if a.echo == nil {
			t.Fatalf("status = %d, body %s", a.status, a.body)
		}
		for name, value := range want {
			if got := a.echo.Headers[name]; !cmp.Equal(got, []string{value}) {
				t.Errorf("listener %s: %s = %q, want %q", listener, name, got, value)
			}
		}
	}
}

// TestHiddenCredentialsDoNotReachTheUpstream covers hide_credentials in all places and
// spellings of the tokens, valid or invalid.
func TestHiddenCredentialsDoNotReachTheUpstream(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	tests := []struct {
		name, policy string
		make         func(p pair) request
	}{
		{"headers with underscores", "default", func(p pair) request { return request{header: p.headers()} }},
		{"headers with dashes", "default", func(p pair) request {
			return request{header: []field{{"Access-Token", p.access}, {"Secret-Token", p.secret}}}
		}},
		{"query", "default", func(p pair) request { return request{target: "?" + p.query()} }},
		{"query with dashes", "default", func(p pair) request {
			return request{target: "?access-token=" + p.access + "&secret-token=" + p.secret}
		}},
		{"percent-encoded names in the query", "default", func(p pair) request {
			return request{target: "?access%5Ftoken=" + p.access + "&%73ecret_token=" + p.secret}
		}},
		{"headers and query alike", "default", func(p pair) request {
			return request{target: "?" + p.query(), header: p.headers()}
		}},
		{"anonymous after a repeated query", "anonymous", func(p pair) request {
			return request{target: "?" + p.query() + "&" + p.query() + "&secret%5ftoken=" + p.secret}
		}},
		{"anonymous after a repeated header", "anonymous", func(p pair) request {
			return request{header: append(p.headers(), field{"SECRET-TOKEN", p.secret}, field{"secret_token", p.secret})}
		}},
		{"names of its own", "names", func(p pair) request {
			return request{target: "?api_id=" + p.access, header: []field{{"X_Api_Secret", p.secret}, {"x-api-secret", p.secret}}}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, listener := range []string{onHeaders, onRaw, onValidated} {
				for i, p := range protocols() {
					tokens := bed.credential(t, aliceID, nil)
					r := test.make(tokens)
					r.policy, r.target = test.policy, "/hidden"+r.target
					for j := range r.header {
						if i == 1 {
							r.header[j].name = strings.ToLower(r.header[j].name)
						}
					}
					a := bed.send(t, listener, p, r)
					if a.echo == nil {
						t.Fatalf("listener %s, %s: status = %d, body %s", listener, p.name, a.status, a.body)
					}
					// This header contains the access token on purpose.
					delete(a.echo.Headers, "x-credential-identifier")
					raw, err := json.Marshal(a.echo)
					if err != nil {
						t.Fatal(err)
					}
					if got := string(raw); strings.Contains(got, tokens.secret) || strings.Contains(got, tokens.access) {
						t.Errorf("listener %s, %s: the upstream got %s", listener, p.name, got)
					}
				}
			}
		})
	}
}

func TestCredentialsThatAreNotHiddenReachTheUpstream(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	for _, policy := range []string{"visible", "shadow"} {
		target := "/visible?" + p.query()
		a := bed.get(t, request{policy: policy, target: target, header: p.headers()})
		if a.echo == nil || a.echo.Target != target || !cmp.Equal(a.echo.Headers["secret_token"], []string{p.secret}) {
			t.Errorf("policy %s: status %d, the upstream got %+v, want %s and the headers", policy, a.status, a.echo, target)
		}
	}
}

// Envoy sorts the parameters when it removes some of them. Only the order of the values of
// one name is kept.
func TestOtherQueryParametersSurvive(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	const rest = "z=1&a=x%20y&empty=&a=2&plus=a%2Bb&a=x%20y&%66oo=bar&semi=a;b"
	tests := []struct{ name, target string }{
		{"before and after", "?z=1&a=x%20y&%s&empty=&a=2&plus=a%2Bb&a=x%20y&%66oo=bar&semi=a;b"},
		{"first", "?%s&" + rest},
		{"last", "?" + rest + "&%s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := bed.credential(t, aliceID, nil)
			a := bed.get(t, request{policy: "default", target: "/rest" + strings.Replace(test.target, "%s", p.query(), 1)})
			if a.echo == nil {
				t.Fatalf("status = %d, body %s", a.status, a.body)
			}
			_, query, _ := strings.Cut(a.echo.Target, "?")
			got, want := strings.Split(query, "&"), strings.Split(rest, "&")
			if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
				t.Errorf("the remaining parameters (-want +got):\n%s", diff)
			}
			if a, b := valuesOf(got, "a"), valuesOf(want, "a"); !cmp.Equal(a, b) {
				t.Errorf("the values of a = %q, want %q", a, b)
			}
		})
	}
	t.Run("untouched where the tokens are in headers", func(t *testing.T) {
		t.Parallel()
		a := bed.get(t, request{policy: "default", target: "/rest?" + rest, header: bed.credential(t, aliceID, nil).headers()})
		if a.echo == nil || a.echo.Target != "/rest?"+rest {
			t.Errorf("status %d, the upstream got %+v, want the target /rest?%s", a.status, a.echo, rest)
		}
	})
}

func valuesOf(pairs []string, name string) []string {
	var values []string
	for _, pair := range pairs {
		if n, v, _ := strings.Cut(pair, "="); n == name {
			decoded, err := url.QueryUnescape(v)
			if err != nil {
				decoded = v
			}
			values = append(values, decoded)
		}
	}
	return values
}

// TestUnderscoresInFrontOfTheService shows that the names with dashes work where Envoy
// refuses or drops headers with underscores.
func TestUnderscoresInFrontOfTheService(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	dashes := []field{{"access-token", p.access}, {"secret-token", p.secret}}
	tests := []struct {
		name, listener string
		header         []field
		status         int
	}{
		{"refused: underscores", onRejecting, p.headers(), 400},
		{"refused: dashes work", onRejecting, dashes, 200},
		{"dropped: underscores are no tokens", onDropping, p.headers(), 401},
		{"dropped: dashes work", onDropping, dashes, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := bed.send(t, test.listener, protocols()[0], request{policy: "default", target: "/underscores", header: test.header})
			if a.status != test.status {
				t.Errorf("status = %d, want %d; body %s", a.status, test.status, a.body)
			}
		})
	}
}

func TestADenialHasTheMediaTypeThatTheClientAccepts(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	tests := []struct{ name, accept, mediaType, contains string }{
		{"nothing in particular", "", "application/json", `"message"`},
		{"a browser", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html", "<"},
		{"text", "text/plain", "text/plain", "found in request"},
		{"anything", "*/*", "application/json", `"message"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := request{policy: "default", target: "/readable"}
			if test.accept != "" {
				r.header = []field{{"Accept", test.accept}}
			}
			a := bed.get(t, r)
			if got := a.header.Get("Content-Type"); a.status != 401 || !strings.HasPrefix(got, test.mediaType) || !strings.Contains(a.body, test.contains) {
				t.Errorf("%d, %s, %s; want 401, %s, %q in it", a.status, got, a.body, test.mediaType, test.contains)
			}
		})
	}
}
