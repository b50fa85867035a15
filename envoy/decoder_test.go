package envoy

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
)

// httpRequest returns a request with an HTTP part.
func httpRequest(h *authv3.AttributeContext_HttpRequest) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}}}
}

// rawFields returns headers as Envoy sends them with encode_raw_headers.
func rawFields(pairs ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return m
}

func TestMissingPartsAreDecodedAsEmpty(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   *authv3.CheckRequest
		http bool
	}{
		{name: "no message"},
		{name: "no attributes", in: &authv3.CheckRequest{}},
		{name: "no request", in: &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}},
		{name: "no http", in: &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}},
		{name: "an empty address", in: &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{}},
		}}},
		{name: "empty http", in: httpRequest(&authv3.AttributeContext_HttpRequest{}), http: true},
		{name: "a header without anything", in: httpRequest(&authv3.AttributeContext_HttpRequest{
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{nil}},
		}), http: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := read(t, test.in)
			if got.HTTP != test.http {
				t.Errorf("HTTP: got %t, want %t", got.HTTP, test.http)
			}
			if got.Path != "" || got.Method != "" || len(got.Body) > 0 || got.BodyPartial || got.PolicyName != "" || got.Source != "" {
				t.Errorf("got %+v, want an empty request", got)
			}
		})
	}
}

func TestBothFormsOfHeadersAreDecodedTheSame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		joined map[string]string
		raw    *corev3.HeaderMap
		want   []authz.Header
	}{
		{
			name:   "plain",
			joined: map[string]string{"accept": "*/*", "access-token": "a", "secret-token": "s"},
			raw:    rawFields("accept", "*/*", "access-token", "a", "secret-token", "s"),
			want:   []authz.Header{{Name: "accept", Value: "*/*"}, {Name: "access-token", Value: "a"}, {Name: "secret-token", Value: "s"}},
		},
		{
			name:   "pseudo headers are left out",
			joined: map[string]string{":authority": "h", ":method": "GET", ":path": "/", ":scheme": "http", "x": "y"},
			raw:    rawFields(":authority", "h", ":method", "GET", ":path", "/", ":scheme", "http", "x", "y"),
			want:   []authz.Header{{Name: "x", Value: "y"}},
		},
		{
			name:   "names in lower case",
			joined: map[string]string{"Access-Token": "A"},
			raw:    rawFields("Access-Token", "A"),
			want:   []authz.Header{{Name: "access-token", Value: "A"}},
		},
		{
			name:   "an empty value",
			joined: map[string]string{"tracestate": ""},
			raw:    rawFields("tracestate", ""),
			want:   []authz.Header{{Name: "tracestate", Value: ""}},
		},
		{
			name: "value where there is no raw_value",
			raw:  &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", Value: "v"}, {Key: "b", Value: "v", RawValue: []byte("raw")}}},
			want: []authz.Header{{Name: "a", Value: "v"}, {Name: "b", Value: "raw"}},
		},
		{
			name: "repeated headers stay apart and in order",
			raw:  rawFields("b", "1", "a", "2", "b", "3"),
			want: []authz.Header{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}, {Name: "b", Value: "3"}},
		},
		{
			name: "bytes that are not UTF-8",
			raw:  rawFields("a", "\xff"),
			want: []authz.Header{{Name: "a", Value: "\xff"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for form, h := range map[string]*authv3.AttributeContext_HttpRequest{
				"headers":    {Headers: test.joined},
				"header_map": {HeaderMap: test.raw},
			} {
				if h.GetHeaders() == nil && h.GetHeaderMap() == nil {
					continue
				}
				if diff := cmp.Diff(test.want, read(t, httpRequest(h)).Headers); diff != "" {
					t.Errorf("%s (-want +got):\n%s", form, diff)
				}
			}
		})
	}
}

func TestHeaderMapCountsWhereBothFormsAreGiven(t *testing.T) {
	t.Parallel()
	got := read(t, httpRequest(&authv3.AttributeContext_HttpRequest{
		Headers: map[string]string{"a": "joined"}, HeaderMap: rawFields("a", "raw"),
	}))
	if v := got.Header("a"); v != "raw" {
		t.Errorf("header a: got %q, want %q", v, "raw")
	}
	got = read(t, httpRequest(&authv3.AttributeContext_HttpRequest{
		Headers: map[string]string{"a": "joined"}, HeaderMap: &corev3.HeaderMap{},
	}))
	if v := got.Header("a"); v != "joined" {
		t.Errorf("header a beside an empty header_map: got %q, want %q", v, "joined")
	}
}

func TestTargetAndHostComeFromTheirFieldsOnly(t *testing.T) {
	t.Parallel()
	lies := []string{
		":path", "/lie", ":method", "OPTIONS", ":authority", "lie", ":scheme", "lie", "host", "lie",
		"x-forwarded-uri", "/lie", "x-original-url", "/lie", "x-envoy-original-path", "/lie",
		"x-forwarded-host", "lie", "x-http-method-override", "OPTIONS",
	}
	got := read(t, httpRequest(&authv3.AttributeContext_HttpRequest{
		Method: "GET", Path: "/p?a=%20b#f", Host: "Shop.Example:8080", Scheme: "https",
		Query: "lie=1", Fragment: "lie", HeaderMap: rawFields(lies...),
	}))
	if got.Method != "GET" || got.Path != "/p?a=%20b#f" || got.Host != "Shop.Example:8080" || got.Scheme != "https" {
		t.Errorf("got %q %q %q %q, want the fields as they are", got.Method, got.Path, got.Host, got.Scheme)
	}
}

func TestThePolicyIsNamedByTheRouteOnly(t *testing.T) {
	t.Parallel()
	in := httpRequest(&authv3.AttributeContext_HttpRequest{
		Path: "/?policy=lie", Headers: map[string]string{"policy": "lie", "x-policy": "lie"},
	})
	if got := read(t, in).PolicyName; got != "" {
		t.Errorf("without a context extension: got policy %q, want none", got)
	}
	if read(t, in).NamesPolicy {
		t.Error("without a context extension: the route names a policy")
	}
	in.Attributes.ContextExtensions = map[string]string{"policy": "orders", "virtual_host": "v"}
	if got := read(t, in); got.PolicyName != "orders" || !got.NamesPolicy {
		t.Errorf("got policy %q named %t, want orders", got.PolicyName, got.NamesPolicy)
	}
}

// An empty value is what a template leaves that found nothing.
func TestARouteThatNamesAPolicyBadlyIsDenied(t *testing.T) {
	t.Parallel()
	service := NewService(newDecider(t), Options{})
	for _, name := range []string{"", " ", "nope"} {
		in := httpRequest(&authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/", Host: "shop.test", HeaderMap: rawFields("access_token", "alice-access", "secret_token", "alice-secret"),
		})
		out, err := service.Answer(t.Context(), in)
		if err != nil || out.GetStatus().GetCode() != 0 {
			t.Fatalf("without a name: got %v, %v, want an allow by the default policy", out, err)
		}
		in.Attributes.ContextExtensions = map[string]string{"policy": name}
		if out, err = service.Answer(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		mustDeny(t, out, 403)
		if got := newAnswer(out).Reason; got != "no_policy" {
			t.Errorf("policy %q: got reason %s, want no_policy", name, got)
		}
	}
}

func TestNamesOfHeadersAreLowerCaseInASCIIOnly(t *testing.T) {
	t.Parallel()
	in := httpRequest(&authv3.AttributeContext_HttpRequest{HeaderMap: rawFields("ACCESS_TO\u212aEN", "x", "\u0130d", "y")})
	if got := read(t, in).Headers; got[0].Name != "access_to\u212aen" || got[1].Name != "\u0130d" {
		t.Errorf("got %q, want letters of other alphabets unchanged", got)
	}
}

func TestTheSourceIsTheAddressOfThePeer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		address *corev3.Address
		want    string
	}{
		{name: "none"},
		{name: "socket", address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "2001:db8::1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711},
		}}}, want: "2001:db8::1"},
		{name: "pipe", address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/envoy.sock"}}}, want: "/run/envoy.sock"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := httpRequest(&authv3.AttributeContext_HttpRequest{Headers: map[string]string{"x-forwarded-for": "198.51.100.1"}})
			in.Attributes.Source = &authv3.AttributeContext_Peer{Address: test.address, Service: "lie"}
			if got := read(t, in).Source; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestABodyIsPartialUnlessItIsKnownToBeComplete(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		headers []string
		body    string
		partial bool
	}{
		{name: "no body"},
		{name: "no body, whatever is announced", headers: []string{"content-length", "7", partialBody, "true"}},
		{name: "nothing said of a body", body: "a=1", partial: true},
		{name: "whole", headers: []string{"content-length", "3", partialBody, "false"}, body: "a=1"},
		{name: "whole, without Envoy's word", headers: []string{"content-length", "3"}, body: "a=1"},
		{name: "chunked, so that there may be more", headers: []string{"transfer-encoding", "chunked", partialBody, "false"}, body: "a=1", partial: true},
		{name: "said to be partial", headers: []string{partialBody, "true"}, body: "a=1", partial: true},
		{name: "something unknown is said", headers: []string{partialBody, "TRUE"}, body: "a=1", partial: true},
		{name: "nothing is said, emptily", headers: []string{partialBody, ""}, body: "a=1", partial: true},
		{name: "said twice", headers: []string{partialBody, "false", partialBody, "true"}, body: "a=1", partial: true},
		{name: "the buffer was exactly full", headers: []string{partialBody, "false", "content-length", "4"}, body: "a=1", partial: true},
		{name: "more than announced", headers: []string{partialBody, "false", "content-length", "2"}, body: "a=1", partial: true},
		{name: "announced twice", headers: []string{"content-length", "3", "content-length", "3"}, body: "a=1", partial: true},
		{name: "announced twice, joined", headers: []string{"content-length", "3,3"}, body: "a=1", partial: true},
		{name: "no length", headers: []string{"content-length", "three"}, body: "a=1", partial: true},
		{name: "a signed length", headers: []string{"content-length", "+3"}, body: "a=1", partial: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for form, h := range map[string]*authv3.AttributeContext_HttpRequest{
				"body":     {Body: test.body},
				"raw_body": {RawBody: []byte(test.body)},
			} {
				h.HeaderMap = rawFields(test.headers...)
				got := read(t, httpRequest(h))
				if string(got.Body) != test.body || got.BodyPartial != test.partial {
					t.Errorf("%s %q with %s: got %q, partial %t; want partial %t",
						form, test.body, strings.Join(test.headers, " "), got.Body, got.BodyPartial, test.partial)
				}
			}
		})
	}
}
