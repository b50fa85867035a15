package authz

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// arrives says what an upstream gets of a header after the changes of u: Envoy
// sets first and removes after.
func arrives(u Upstream, sent []Header) []Header {
	var out []Header
	for _, h := range sent {
		if !slices.ContainsFunc(set(u), func(s Header) bool { return s.Name == h.Name }) {
			out = append(out, h)
		}
	}
	out = append(out, set(u)...)
	return slices.DeleteFunc(out, func(h Header) bool {
		return slices.Contains(u.Remove, h.Name) || slices.Contains(u.RemoveAlso, h.Name)
	})
}

// set lists the headers that u sets.
func set(u Upstream) []Header {
	if u.SetAlso.Name == "" {
		return u.Set
	}
	return append(slices.Clip(u.Set), u.SetAlso)
}

func TestIdentityHeadersAreKongs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		policy  func(*Policy)
		request *Request
		want    []Header
	}{
		{name: "consumer with everything", request: good(), want: []Header{
			{"x-consumer-id", aliceID},
			{"x-consumer-custom-id", "c-1"},
			{"x-consumer-username", "alice"},
			{"x-consumer-groups", "gold, eu"},
			{"x-credential-identifier", "foo"},
		}},
		{name: "hidden identifier and groups", policy: func(p *Policy) { p.HideCredentialIdentifier, p.HideGroupsHeader = true, true }, request: good(), want: []Header{
			{"x-consumer-id", aliceID}, {"x-consumer-custom-id", "c-1"}, {"x-consumer-username", "alice"},
		}},
		{name: "anonymous", policy: func(p *Policy) { p.Anonymous = "visitor" }, request: get("/"), want: []Header{
			{"x-consumer-id", visitorID}, {"x-consumer-username", "visitor"}, {"x-anonymous-consumer", "true"},
		}},
		{name: "anonymous without groups under a deny list", policy: func(p *Policy) { p.Anonymous, p.Deny = "visitor", []string{"x"} }, request: get("/"), want: []Header{
			{"x-consumer-id", visitorID}, {"x-consumer-username", "visitor"}, {"x-consumer-groups", ""}, {"x-anonymous-consumer", "true"},
		}},
		{name: "preflight", policy: func(p *Policy) { p.RunOnPreflight = false }, request: preflight(), want: nil},
		{name: "shadow", policy: func(p *Policy) { p.Shadow = true }, request: good(), want: nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newBench(t, test.policy).Check(t.Context(), test.request)
			if diff := cmp.Diff(test.want, set(d.Upstream)); diff != "" {
				t.Errorf("headers set (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpoofedIdentityNeverArrives(t *testing.T) {
	t.Parallel()
	var spoofed []Header
	for _, name := range identityHeaders {
		for _, spelling := range spellings(name) {
			spoofed = append(spoofed, Header{spelling, "spoofed"}, Header{spelling, "spoofed too"})
		}
		spoofed = append(spoofed, Header{strings.ReplaceAll(name, "-", "."), "spoofed"})
	}
	policies := map[string]func(*Policy){
		"authenticated": nil,
		"hidden parts":  func(p *Policy) { p.HideCredentialIdentifier, p.HideGroupsHeader = true, true },
		"anonymous":     func(p *Policy) { p.Anonymous = "visitor" },
		"shadow":        func(p *Policy) { p.Shadow = true },
		"preflight":     func(p *Policy) { p.RunOnPreflight, p.Preflight = false, PreflightAny },
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := get("/")
			if name == "authenticated" || name == "hidden parts" {
				r = good()
			}
			if name == "preflight" {
				r.Method = "OPTIONS"
			}
			r.Headers = append(r.Headers, spoofed...)
			d := newBench(t, policy).Check(t.Context(), r)
			if !d.Allowed {
				t.Fatalf("denied: %s", d.Reason)
			}
			for _, h := range arrives(d.Upstream, r.Headers) {
				if strings.HasPrefix(h.Value, "spoofed") {
					t.Errorf("%s: %s reaches the upstream", h.Name, h.Value)
				}
			}
			for _, h := range set(d.Upstream) {
				if slices.Contains(d.Upstream.Remove, h.Name) || slices.Contains(d.Upstream.RemoveAlso, h.Name) {
					t.Errorf("%s is set and removed", h.Name)
				}
			}
		})
	}
}

func TestHiddenCredentialsNeverArrive(t *testing.T) {
	t.Parallel()
	r := get("/x?a=1&access_token=foo&%73ecret_token=supersecretvalue&secret=2", "access-token", "foo", "secret.token", "supersecretvalue")
	d := newBench(t, nil).Check(t.Context(), r)
	if !d.Allowed {
		t.Fatalf("denied: %s", d.Reason)
	}
	if diff := cmp.Diff([]string{"access_token", "%73ecret_token"}, d.Upstream.RemoveQuery); diff != "" {
		t.Errorf("query parameters removed (-want +got):\n%s", diff)
	}
	for _, h := range arrives(d.Upstream, r.Headers) {
		if strings.Contains(h.Name, "token") {
			t.Errorf("%s reaches the upstream", h.Name)
		}
	}
	shown := newBench(t, func(p *Policy) { p.HideCredentials = false }).Check(t.Context(), good())
	if len(shown.Upstream.RemoveAlso) != 0 || len(shown.Upstream.RemoveQuery) != 0 {
		t.Errorf("hide_credentials off: removes %q %q", shown.Upstream.RemoveAlso, shown.Upstream.RemoveQuery)
	}
}

// The spellings of a name double with each separator, so those of a long one are
// not listed ahead.
func TestHiddenCredentialsWithLongNamesNeverArrive(t *testing.T) {
	t.Parallel()
	long := "a_b_c_d_e_f_token"
	r := get("/", long, "foo", "secret_token", "supersecretvalue", "a-b_c-d_e-f_token", "leak")
	d := newBench(t, func(p *Policy) { p.AccessTokenNames = []string{long} }).Check(t.Context(), r)
	if !d.Allowed {
		t.Fatalf("denied: %s", d.Reason)
	}
	for _, h := range arrives(d.Upstream, r.Headers) {
		if strings.Contains(h.Name, "token") {
			t.Errorf("%s reaches the upstream", h.Name)
		}
	}
}

// A long name of a token is not spelled out ahead of requests, so that all names
// of a request are looked at closely.
func TestNoHeaderIsSetAndRemovedWhateverTokensAreCalled(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"access_token", "a_b_c_d_e_f_token"} {
		r := get("/", name, "foo", "secret_token", "supersecretvalue")
		for _, identity := range identityHeaders {
			r.Headers = append(r.Headers, Header{identity, "spoofed"})
		}
		u := newBench(t, func(p *Policy) { p.AccessTokenNames = []string{name} }).Check(t.Context(), r).Upstream
		if len(set(u)) != 5 {
			t.Fatalf("%s: sets %v", name, set(u))
		}
		for _, h := range set(u) {
			if slices.Contains(u.Remove, h.Name) || slices.Contains(u.RemoveAlso, h.Name) {
				t.Errorf("%s: %s is set and removed", name, h.Name)
			}
		}
	}
}

func TestHiddenCredentialsAreStrippedForAnonymousToo(t *testing.T) {
	t.Parallel()
	d := newBench(t, func(p *Policy) { p.Anonymous = "visitor" }).Check(t.Context(), get("/?access_token=a&access_token=b", "secret_token", "x"))
	if !slices.Contains(d.Upstream.RemoveAlso, "secret_token") || !slices.Contains(d.Upstream.RemoveQuery, "access_token") {
		t.Errorf("removes %q %q", d.Upstream.RemoveAlso, d.Upstream.RemoveQuery)
	}
}

func TestARepeatedParameterIsRemovedOnce(t *testing.T) {
	t.Parallel()
	r := get("/?" + strings.Repeat("access_token=x&", 4000))
	d := newBench(t, func(p *Policy) { p.Anonymous = "visitor" }).Check(t.Context(), r)
	if diff := cmp.Diff([]string{"access_token"}, d.Upstream.RemoveQuery); diff != "" {
		t.Errorf("query parameters removed (-want +got):\n%s", diff)
	}
}

func TestOneDecisionNeverChangesAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	odd := good()
	odd.Headers = append(odd.Headers, Header{"x.consumer.id", "1"})
	first := b.Check(t.Context(), odd)
	second := b.Check(t.Context(), good())
	if !slices.Contains(first.Upstream.RemoveAlso, "x.consumer.id") || slices.Contains(second.Upstream.RemoveAlso, "x.consumer.id") {
		t.Errorf("first removes %q, second %q", first.Upstream.RemoveAlso, second.Upstream.RemoveAlso)
	}
}
