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

// always decides the same about everything.
func always(d authz.Decision) Decider {
	return deciderFunc(func(context.Context, *authz.Request) authz.Decision { return d })
}

// getRequest is a request as a decider and a denial see it.
func getRequest(headers ...authz.Header) *authz.Request {
	return &authz.Request{HTTP: true, Method: "GET", Path: "/orders?a=1", Host: "shop.test", Scheme: "http", Headers: headers}
}

// allowAlice is an allow with everything in it.
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

// denyFor is a denial by a policy, for a client that presented an access token.
func denyFor(reason authz.Reason) authz.Decision {
	p := authz.DefaultPolicy()
	p.Name, p.Realm = "orders", "shop"
	return authz.Decision{Reason: reason, Policy: &p, AccessToken: presented}
}

// presented is the access token of a denied client. It must not come back.
const presented = "presented-access-token"

// wire sends an answer through its encoding, checks it against Envoy's own
// constraints, and returns what Envoy would see.
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

// responded is what Envoy would see of a decision. The generated types have to
// give the same.
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

// decodedAnswer is what was written, as the generated types read it.
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

// withoutRequestID makes the bodies of two denials equal whose ids are random.
func withoutRequestID(s string) string {
	const length = 32
	for i := 0; i+length <= len(s); i++ {
		if strings.Trim(s[i:i+length], "0123456789abcdef") == "" {
			return s[:i] + "ID" + s[i+length:]
		}
	}
	return s
}

// read reads a request the way it comes, in wire form. Headers of a map, which
// has no order, are sorted.
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

// mustDeny says that Envoy would deny, as opposed to allow or fail.
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
