package envoy

import (
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// Fuzz with -fuzzminimizetime=1x: decoding varies in what it covers, and with the
// default nearly all of the time goes into making inputs smaller.
//
// Whatever bytes decode as a CheckRequest, reading them does not panic and makes
// nothing up, and a denial of them is a denial that can be sent.
func FuzzRead(f *testing.F) {
	seeds := 0
	for _, in := range recorded(f) {
		data, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in authv3.CheckRequest
		if proto.Unmarshal(data, &in) != nil {
			return
		}
		r := read(&in)
		h := in.GetAttributes().GetRequest().GetHttp()
		if r.HTTP != (h != nil) {
			t.Errorf("HTTP: got %t for %v", r.HTTP, &in)
		}
		if r.Path != h.GetPath() || r.Method != h.GetMethod() || r.Host != h.GetHost() || r.Scheme != h.GetScheme() {
			t.Errorf("got %q %q %q %q, want the fields of %v", r.Method, r.Path, r.Host, r.Scheme, h)
		}
		if r.PolicyName != in.GetAttributes().GetContextExtensions()["policy"] {
			t.Errorf("policy: got %q", r.PolicyName)
		}
		if body := string(r.Body); body != h.GetBody() && body != string(h.GetRawBody()) {
			t.Errorf("body: got %q, want one of %q and %q", body, h.GetBody(), h.GetRawBody())
		}
		checkHeaders(t, h, r.Headers)

		d := denyFor(authz.ReasonWrongSecret)
		mustDeny(t, responded(t, &r, d), 401)
		// An allow is one or, if it cannot be sent, a denial.
		allow := allowAlice()
		for _, header := range r.Headers {
			allow.Upstream.RemoveAlso = append(allow.Upstream.RemoveAlso, header.Name)
			allow.Upstream.Set = append(allow.Upstream.Set, authz.Header{Name: "x-echo", Value: header.Value})
		}
		if out := responded(t, &r, allow); out.GetOkResponse() == nil {
			mustDeny(t, out, 500)
		}
	})
}

func checkHeaders(t *testing.T, h *authv3.AttributeContext_HttpRequest, got []authz.Header) {
	t.Helper()
	var given []authz.Header
	for name, value := range h.GetHeaders() {
		given = append(given, authz.Header{Name: name, Value: value})
	}
	if raw := h.GetHeaderMap().GetHeaders(); len(raw) > 0 {
		given = nil
		for _, f := range raw {
			value := f.GetValue()
			if len(f.GetRawValue()) > 0 {
				value = string(f.GetRawValue())
			}
			given = append(given, authz.Header{Name: f.GetKey(), Value: value})
		}
	}
	given = slices.DeleteFunc(given, func(h authz.Header) bool { return strings.HasPrefix(h.Name, ":") })
	if len(got) != len(given) {
		t.Fatalf("got %d headers, want %d", len(got), len(given))
	}
	for _, header := range got {
		if strings.HasPrefix(header.Name, ":") || header.Name != strings.ToLower(header.Name) {
			t.Errorf("header %q is a pseudo header or not in lower case", header.Name)
		}
		if !slices.ContainsFunc(given, func(g authz.Header) bool {
			return strings.ToLower(g.Name) == header.Name && g.Value == header.Value
		}) {
			t.Errorf("header %q: %q was not given", header.Name, header.Value)
		}
	}
}

// Whatever Accept says, the format is one of ours, and what is said after a
// browser's own preference cannot take it away.
func FuzzAccept(f *testing.F) {
	seeds := []string{"", "*/*", "text/html", "text/html;q=0.5,*/*;q=0.1", ";q=", "a/b;q=1e309,,", "text/html;q=NaN"}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := negotiate(accept)
		all := formats()
		if !slices.ContainsFunc(all[:], func(f format) bool { return f.mediaType == got.mediaType }) {
			t.Errorf("Accept %q: got %q", accept, got.mediaType)
		}
		if first := negotiate("text/plain," + accept).mediaType; first != "text/plain" {
			t.Errorf("Accept text/plain,%q: got %q: nothing has a quality above 1", accept, first)
		}
	})
}
