package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func (b *bench) explain(t *testing.T, r *Request) Explanation {
	t.Helper()
	return b.Explain(t.Context(), r, b.Check)
}

func TestARequestThatIsAllowedIsExplained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		b := newBench(t, func(p *Policy) { p.Hosts, p.Allow = []string{"api.example.com"}, []string{"gold"} })
		b.put("supersecretvalue", func(c *Credential) {
			c.Previous, c.PreviousExpiresAt, c.ExpiresAt = b.digester.Digest("kong-auth", "foo", "the one before"), now.Add(hour), now.Add(2*hour)
		})
		got := b.explain(t, get("/?access_token=foo", "secret-token", "supersecretvalue", "x-consumer-groups", "admin", "accept", "*/*"))
		want := Explanation{
			Allowed: true,
			Denial: Denial{
				At: float64(now.Unix()), Reason: "authenticated", Meaning: ReasonAuthenticated.Meaning(), Policy: "default", Vault: "kong-auth",
				Matching:      nil,
				AccessTokenIn: []string{"query access_token"}, SecretTokenIn: []string{"header secret-token"}, Credential: Fingerprint("foo"),
				Consumer: aliceID, Username: "alice", Method: "GET", Host: "api.example.com", Path: "/",
			},
			Policies: []Weighed{{Name: "default", Order: 1, Matches: true, Governs: true, Why: "host api.example.com matches"}},
			Record:   &RecordState{State: "rotating", ExpiresAt: new(now.Add(2 * hour).Unix()), PreviousExpiresAt: new(now.Add(hour).Unix())},
			Consumer: &Identity{ID: aliceID, Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}},
			Headers: HeaderNames{
				Set:         []string{"x-consumer-id", "x-consumer-custom-id", "x-consumer-username", "x-consumer-groups", "x-credential-identifier"},
				Remove:      []string{"secret-token"},
				RemoveQuery: []string{"access_token"},
			},
			Steps: []Step{
				{"policy", true, "default governs: host api.example.com matches"},
				{"tokens", true, "the access token is in query access_token, the secret token in header secret-token"},
				{"record", true, "there is a record for the access token"},
				{"secret", true, "the secret is right"},
				{"limits", true, "the record may be used now"},
				{"consumer", true, "alice with the groups gold, eu"},
				{"acl", true, "the groups pass the acl"},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAnExplanationEndsWithTheStepThatDecides(t *testing.T) {
	t.Parallel()
	wrong := get("/", "access_token", "foo", "secret_token", "wrongsecretvalue")
	preflight := &Request{HTTP: true, Method: "OPTIONS", Host: "api.example.com", Path: "/", Headers: []Header{{"origin", "https://x"}, {"access-control-request-method", "PUT"}}}
	tests := []struct {
		name    string
		policy  func(*Policy)
		prepare func(*bench)
		request *Request
		// steps are their names, the last with "!" if it is not ok.
		steps  string
		record string
	}{
		{"no policy", func(p *Policy) { p.Default = false }, nil, good(), "policy!", ""},
		{"a route with a policy that does not exist", nil, nil, &Request{HTTP: true, Host: "x", Path: "/", PolicyName: "gone"}, "policy!", ""},
		{"no tokens", nil, nil, get("/"), "policy tokens!", ""},
		{"an unknown token", nil, nil, get("/", "access_token", "bar", "secret_token", "x"), "policy tokens record!", ""},
		{"a store that fails", nil, func(b *bench) { b.source.err = errors.New("it is sealed") }, good(), "policy tokens record!", ""},
		{"a malformed record", nil, func(b *bench) { b.source.err = fmt.Errorf("%w: no secret", ErrMalformed) }, good(), "policy tokens record!", "malformed_record"},
		{"a wrong secret", nil, nil, wrong, "policy tokens record secret!", "good"},
		{"a wrong secret of a disabled record", nil, func(b *bench) { b.put("supersecretvalue", func(c *Credential) { c.Disabled = true }) }, wrong, "policy tokens record secret!", "disabled"},
		{"a disabled record", nil, func(b *bench) { b.put("supersecretvalue", func(c *Credential) { c.Disabled = true }) }, good(), "policy tokens record secret limits!", "disabled"},
		{"an expired record", nil, func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ExpiresAt = time.Unix(1, 0) })
		}, good(), "policy tokens record secret limits!", "expired"},
		{"an unknown consumer", nil, func(b *bench) { b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = "" }) }, good(), "policy tokens record secret limits consumer!", "good"},
		{"the acl", func(p *Policy) { p.Deny = []string{"gold"} }, nil, good(), "policy tokens record secret limits consumer acl!", "good"},
		{"the anonymous consumer", func(p *Policy) { p.Anonymous = "visitor" }, nil, wrong, "policy tokens record secret! anonymous", "good"},
		{"the acl against the anonymous consumer", func(p *Policy) { p.Anonymous, p.Allow = "visitor", []string{"gold"} }, nil, get("/"), "policy tokens! anonymous acl!", ""},
		{"a preflight", func(p *Policy) { p.RunOnPreflight = false }, nil, preflight, "policy preflight", ""},
		{"a policy that only observes", func(p *Policy) { p.Shadow = true }, nil, wrong, "policy tokens record secret! shadow", "good"},
		{"nothing is known yet", nil, func(b *bench) { b.Replace(nil) }, good(), "state!", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.policy)
			if test.prepare != nil {
				test.prepare(b)
			}
			d := b.Check(t.Context(), test.request)
			e := b.explain(t, test.request)
			status := d.Status()
			if d.Allowed {
				status = 0
			}
			if e.Allowed != d.Allowed || e.Reason != d.Reason.String() || e.Status != status || e.Shadow != d.Shadow {
				t.Errorf("explained as allowed %t, %s, %d, and decided as %t, %s, %d", e.Allowed, e.Reason, e.Status, d.Allowed, d.Reason, status)
			}
			if name := test.request.PolicyName; name != "" && !strings.Contains(e.Steps[0].Result, `the policy "`+name+`", which does not exist`) {
				t.Errorf("the first step says %s, want it to name the policy of the route", e.Steps[0].Result)
			}
			var steps []string
			for _, s := range e.Steps {
				if s.Result == "" {
					t.Errorf("the step %s has no result", s.Name)
				}
				steps = append(steps, s.Name+map[bool]string{false: "!"}[s.OK])
			}
			if got := strings.Join(steps, " "); got != test.steps {
				t.Errorf("the steps are %s, want %s", got, test.steps)
			}
			record := ""
			if e.Record != nil {
				record = e.Record.State
			}
			if record != test.record {
				t.Errorf("the record is %q, want %q", record, test.record)
			}
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), `"remove_query":null`) || strings.Contains(string(raw), `"groups":null`) {
				t.Errorf("a list is null: %s", raw)
			}
			for _, never := range []string{"supersecretvalue", "wrongsecretvalue", `"foo"`} {
				if strings.Contains(string(raw), never) {
					t.Errorf("it has %s: %s", never, raw)
				}
			}
		})
	}
}

func TestAnExplanationIsNoUseOfTheCredential(t *testing.T) {
	t.Parallel()
	var told uses
	b := newBench(t, nil)
	b.put("supersecretvalue", func(c *Credential) { c.Usage = &told })
	if e := b.explain(t, good()); !e.Allowed || len(told) > 0 {
		t.Errorf("allowed %t, and %d uses were told, want none", e.Allowed, len(told))
	}
	if d := b.Check(t.Context(), good()); !d.Allowed || len(told) != 1 {
		t.Errorf("a request: allowed %t, and %d uses were told, want one", d.Allowed, len(told))
	}
}

// What stands in front of the Authorizer decides too.
func TestAnExplanationTellsWhoeverDecides(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	e := b.Explain(t.Context(), good(), func(context.Context, *Request) Decision {
		return Decision{Reason: ReasonUnavailable, Err: errors.New("the state is out of date")}
	})
	want := []Step{{"state", false, ReasonUnavailable.Meaning() + ": the state is out of date"}}
	if diff := cmp.Diff(want, e.Steps); diff != "" || e.Allowed || len(e.Policies) > 0 || len(b.source.asked) > 0 {
		t.Errorf("got %+v (-want +got):\n%s", e, diff)
	}
}

func TestEachPolicyIsSaidToGovernOrWhyItDoesNot(t *testing.T) {
	t.Parallel()
	policies := []Policy{
		policyNamed("default", func(p *Policy) { p.Default = true }),
		policyNamed("orders", func(p *Policy) { p.Hosts, p.Paths = []string{"*.example.com"}, []string{"/orders"} }),
		policyNamed("api", func(p *Policy) { p.Hosts = []string{"api.example.com"} }),
		policyNamed("paths", func(p *Policy) { p.Paths = []string{"/orders"} }),
		policyNamed("other host", func(p *Policy) { p.Hosts, p.Paths = []string{"other.example.com"}, []string{"/orders"} }),
		policyNamed("other path", func(p *Policy) { p.Hosts, p.Paths = []string{"api.example.com"}, []string{"/stock"} }),
		policyNamed("by route"),
	}
	a := deciding(t, policies...)
	order := cmpopts.IgnoreFields(Weighed{}, "Order")
	for _, test := range []struct {
		name    string
		request *Request
		want    []Weighed
	}{
		{"by host and path", get("/orders/7"), []Weighed{
			{Name: "api", Matches: true, Governs: true, Why: "host api.example.com matches"},
			{Name: "orders", Matches: true, Why: "host *.example.com and path /orders match, and api comes first"},
			{Name: "paths", Matches: true, Why: "path /orders matches, and api comes first"},
			{Name: "default", Matches: true, Why: "it is the default, and api comes first"},
			{Name: "other host", Why: "none of its hosts matches"},
			{Name: "other path", Why: "none of its paths matches"},
			{Name: "by route", Why: "it has neither hosts nor paths, so a route has to name it"},
		}},
		{"by the route", &Request{HTTP: true, Host: "api.example.com", Path: "/", PolicyName: "by route"}, []Weighed{{Name: "by route", Governs: true, Why: "the route names it"}}},
		{"by a route that names nothing", &Request{HTTP: true, Host: "api.example.com", Path: "/", NamesPolicy: true}, []Weighed{}},
		{"a host that may be two", &Request{HTTP: true, Host: "api.example.com,x", Path: "/"}, []Weighed{}},
	} {
		got := a.Explain(t.Context(), test.request, a.Check).Policies
		if diff := cmp.Diff(test.want, got, order); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		for i := range got {
			if got[i].Order != i+1 {
				t.Errorf("%s: %s has the place %d, want %d", test.name, got[i].Name, got[i].Order, i+1)
			}
		}
	}
}

func TestPoliciesThatTieAreSaidTo(t *testing.T) {
	t.Parallel()
	host := func(p *Policy) { p.Hosts = []string{"api.example.com"} }
	a := deciding(t, policyNamed("one", host), policyNamed("two", host))
	e := a.Explain(t.Context(), get("/"), a.Check)
	for _, w := range e.Policies {
		if !w.Matches || w.Governs || w.Why != "host api.example.com matches, and so does another one with the same priority" {
			t.Errorf("got %+v", w)
		}
	}
	if len(e.Policies) != 2 || e.Reason != "ambiguous_policy" {
		t.Errorf("got %+v", e)
	}
}

func TestOfVeryManyPoliciesThoseAreToldThatMatch(t *testing.T) {
	t.Parallel()
	var policies []Policy
	for i := range maxWeighed + 1 {
		policies = append(policies, policyNamed(fmt.Sprintf("p%d", i), func(p *Policy) { p.Hosts = []string{fmt.Sprintf("h%d.example.com", i)} }))
	}
	explained := func(n int) []Weighed {
		a := deciding(t, slices.Clone(policies[:n])...)
		return a.Explain(t.Context(), &Request{HTTP: true, Host: "h7.example.com", Path: "/"}, a.Check).Policies
	}
	if got := explained(maxWeighed); len(got) != maxWeighed || got[0].Name != "p7" {
		t.Errorf("%d of %d are told", len(got), maxWeighed)
	}
	if got := explained(maxWeighed + 1); len(got) != 1 || got[0].Name != "p7" || !got[0].Governs {
		t.Errorf("of %d are told: %+v", maxWeighed+1, got)
	}
}
