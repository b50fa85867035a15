package envoy

import (
	"context"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

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
				{Name: "x-credential-identifier", Value: "alice-access"},
			},
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

// responded is what Envoy would see of a decision.
func responded(tb testing.TB, r *authz.Request, d authz.Decision) *authv3.CheckResponse {
	tb.Helper()
	out, err := respond(r, &d)
	if err != nil {
		tb.Fatalf("respond: %v", err)
	}
	return wire(tb, out)
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
