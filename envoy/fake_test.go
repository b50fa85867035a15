package envoy

import (
	stdcmp "cmp"
	"context"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vault-authz/vault-authz/authz"
)

// deciderFunc is a Decider for tests.
type deciderFunc func(context.Context, *authz.Request) authz.Decision

func (f deciderFunc) Check(ctx context.Context, r *authz.Request) authz.Decision { return f(ctx, r) }

// always decides the same about every request.
func always(d authz.Decision) Decider {
	return deciderFunc(func(context.Context, *authz.Request) authz.Decision { return d })
}

// getRequest returns a decoded GET request.
func getRequest(headers ...authz.Header) *authz.Request {
	return &authz.Request{HTTP: true, Method: "GET", Path: "/orders?a=1", Host: "shop.test", Scheme: "http", Headers: headers}
}

// allowAlice returns an allow with all its parts.
func allowAlice() authz.Decision {
	p := authz.DefaultPolicy()
	p.Name = "orders"
	return authz.Decision{
		Allowed:     true,
		Reason:      authz.ReasonAuthenticated,
		Policy:      &p,
		Consumer:    &authz.Consumer{ID: "c0ffee00-0000-4000-8000-000000000001", Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}},
		AccessToken: "alice-access",
		Upstream: authz.Upstream{
			Set: []authz.Header{
				{Name: "x-consumer-id", Value: "c0ffee00-0000-4000-8000-000000000001"},
				{Name: "x-consumer-username", Value: "alice"},
			},
			SetAlso:     authz.Header{Name: "x-credential-identifier", Value: "alice-access"},
			Remove:      []string{"x_consumer_id", "x-consumer_id", "x-anonymous-consumer"},
			RemoveAlso:  []string{"access-token", "access_token"},
			RemoveQuery: []string{"access_token"},
		},
	}
}

// denyFor returns a denial by a policy, for a client with an access token.
func denyFor(reason authz.Reason) authz.Decision {
	p := authz.DefaultPolicy()
	p.Name, p.Realm = "orders", "shop"
	return authz.Decision{Reason: reason, Policy: &p, AccessToken: presented}
}

// presented is the access token of a denied client. No answer may contain it.
const presented = "presented-access-token"

// wire encodes an answer, checks the constraints of Envoy's API, and returns what Envoy sees.
func wire(tb testing.TB, in *authv3.CheckResponse) *authv3.CheckResponse {
	tb.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		tb.Fatalf("encoding the answer: %v", err)
	}
	var out authv3.CheckResponse
	if err := proto.Unmarshal(data, &out); err != nil {
		tb.Fatalf("decoding the answer: %v", err)
	}
	if err := out.ValidateAll(); err != nil {
		tb.Fatalf("Envoy would refuse the answer: %v", err)
	}
	return &out
}

// responded returns what Envoy sees of a decision. The generated types must give the same result.
func responded(tb testing.TB, r *authz.Request, d authz.Decision) *authv3.CheckResponse {
	tb.Helper()
	var w writer
	generated := d
	if err := respond(&w, r, &d); err != nil {
		tb.Fatalf("respond: %v", err)
	}
	out := decodedAnswer(tb, &w)
	want, err := respondGenerated(r, &generated)
	if err != nil {
		tb.Fatalf("respondGenerated: %v", err)
	}
	seen := wire(tb, out)
	hideRequestID(want)
	if hideRequestID(out); !proto.Equal(want, out) {
		tb.Errorf("not what the generated types give (-want +got):\n%s", cmp.Diff(want, out, protocmp.Transform()))
	}
	return seen
}

// decodedAnswer decodes an answer with the generated types.
func decodedAnswer(tb testing.TB, w *writer) *authv3.CheckResponse {
	tb.Helper()
	var out authv3.CheckResponse
	if err := proto.Unmarshal(w.written(), &out); err != nil {
		tb.Fatalf("decoding the answer: %v", err)
	}
	if n := len(out.ProtoReflect().GetUnknown()); n > 0 {
		tb.Fatalf("the answer has %d bytes in unknown fields", n)
	}
	return &out
}

func hideRequestID(out *authv3.CheckResponse) {
	for _, page := range []*authv3.DeniedHttpResponse{out.GetDeniedResponse(), out.GetErrorResponse()} {
		if page != nil {
			page.Body = withoutRequestID(page.GetBody())
		}
	}
}

// withoutRequestID removes the random id from the body of a denial.
func withoutRequestID(s string) string {
	const length = 32
	for i := 0; i+length <= len(s); i++ {
		if strings.Trim(s[i:i+length], "0123456789abcdef") == "" {
			return s[:i] + "ID" + s[i+length:]
		}
	}
	return s
}

// read decodes a request from its wire form. It sorts headers from a map, which has no order.
func read(tb testing.TB, in *authv3.CheckRequest) authz.Request {
	tb.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	r, ok := readWire(newRequestSchema(), data)
	if !ok {
		tb.Fatalf("not read: %v", in)
	}
	if len(in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders()) == 0 {
		sortHeaders(r.Headers)
	}
	return r
}

func readWire(of *schema, data []byte) (r authz.Request, ok bool) {
	var found decoder
	if !of.walk(text(data), maxDepth, &found) || found.tooManyHeaders {
		return authz.Request{}, false
	}
	found.request(&r)
	return r, true
}

// mustDeny expects that Envoy denies, and neither allows nor fails.
func mustDeny(tb testing.TB, out *authv3.CheckResponse, wantStatus int) {
	tb.Helper()
	if out.GetStatus().GetCode() == 0 {
		tb.Fatalf("status.code is 0, which allows: %v", out)
	}
	if out.GetDeniedResponse() == nil {
		tb.Fatalf("no denied_response: %v", out)
	}
	if got := int(out.GetDeniedResponse().GetStatus().GetCode()); got != wantStatus {
		tb.Fatalf("HTTP status: got %d, want %d", got, wantStatus)
	}
}

func sortHeaders(headers []authz.Header) {
	slices.SortStableFunc(headers, func(a, b authz.Header) int {
		return stdcmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
}
