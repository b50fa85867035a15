package envoy

import (
	"fmt"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// benchRequest is a request with 20 headers, in either form.
func benchRequest(raw bool) *authv3.CheckRequest {
	h := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/orders/7?a=1", Host: "shop.test", Scheme: "http", Headers: map[string]string{}}
	pairs := []string{"access-token", "alice-access", "secret-token", "alice-secret"}
	for i := range 18 {
		pairs = append(pairs, fmt.Sprintf("x-header-%02d", i), "some value of a usual length")
	}
	if raw {
		h.HeaderMap = rawFields(pairs...)
		return httpRequest(h)
	}
	for i := 0; i < len(pairs); i += 2 {
		h.Headers[pairs[i]] = pairs[i+1]
	}
	return httpRequest(h)
}

func BenchmarkReadAndRespond(b *testing.B) {
	denial := denyFor(authz.ReasonWrongSecret)
	for name, d := range map[string]authz.Decision{"allow": allowAlice(), "deny": denial} {
		for form, in := range map[string]*authv3.CheckRequest{"headers": benchRequest(false), "header_map": benchRequest(true)} {
			b.Run(name+"/"+form, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r, d := read(in), d
					if _, err := respond(&r, &d); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// With the protobuf encoding of both messages around it.
func BenchmarkReadAndRespondOnTheWire(b *testing.B) {
	data, err := proto.Marshal(benchRequest(true))
	if err != nil {
		b.Fatal(err)
	}
	decided := allowAlice()
	b.ReportAllocs()
	for b.Loop() {
		var in authv3.CheckRequest
		if err := proto.Unmarshal(data, &in); err != nil {
			b.Fatal(err)
		}
		r, d := read(&in), decided
		out, err := respond(&r, &d)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(out); err != nil {
			b.Fatal(err)
		}
	}
}
