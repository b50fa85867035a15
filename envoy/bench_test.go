package envoy

import (
	"context"
	"fmt"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// benchRequest returns a request with 20 headers, raw or joined.
func benchRequest(raw bool) *authv3.CheckRequest {
	h := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/orders/7?a=1", Host: "shop.test", Scheme: "http", Headers: map[string]string{}}
	pairs := []string{"access-token", "alice-access", "secret-token", "alice-secret", "accept", "application/json, text/plain, */*", "x-request-id", requestUUID}
	for i := range 16 {
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

// BenchmarkReadAndRespond measures this package without the decision: from the bytes of the
// request to the bytes of the answer.
func BenchmarkReadAndRespond(b *testing.B) {
	// A real allow, with lists that were encoded before.
	allow := deciding(b, nil).Check(b.Context(), getRequest(
		authz.Header{Name: "access-token", Value: "alice-access"}, authz.Header{Name: "secret-token", Value: "alice-secret"}))
	for name, d := range map[string]authz.Decision{"allow": allow, "deny": denyFor(authz.ReasonWrongSecret)} {
		for form, in := range map[string]*authv3.CheckRequest{"headers": benchRequest(false), "header_map": benchRequest(true)} {
			data := mem.BufferSlice{mem.SliceBuffer(marshal(b, in))}
			s, ctx := NewService(always(d), Options{}), b.Context()
			b.Run(name+"/"+form, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					checkWire(ctx, b, s, data)
				}
			})
		}
	}
}

// The same with the generated types.
func BenchmarkGeneratedTypes(b *testing.B) {
	data := marshal(b, benchRequest(true))
	allow := allowAlice()
	b.ReportAllocs()
	for b.Loop() {
		var in authv3.CheckRequest
		if err := proto.Unmarshal(data, &in); err != nil {
			b.Fatal(err)
		}
		r, d := readDecoded(&in), allow
		out, err := respondGenerated(&r, &d)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for form, in := range map[string]*authv3.CheckRequest{"headers": benchRequest(false), "header_map": benchRequest(true)} {
		data, of := marshal(b, in), newRequestSchema()
		b.Run(form, func(b *testing.B) {
			var found decoder
			var r authz.Request
			b.ReportAllocs()
			for b.Loop() {
				if !of.walk(text(data), maxDepth, &found) {
					b.Fatal("not read")
				}
				found.request(&r)
				found.reset()
			}
		})
	}
}

func BenchmarkRespond(b *testing.B) {
	for name, d := range map[string]authz.Decision{"allow": allowAlice(), "deny": denyFor(authz.ReasonWrongSecret)} {
		b.Run(name, func(b *testing.B) {
			var w writer
			buf := make([]byte, answerSize)
			r := getRequest()
			b.ReportAllocs()
			for b.Loop() {
				w.begin(buf)
				if err := respond(&w, r, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func marshal(tb testing.TB, in proto.Message) []byte {
	tb.Helper()
	data, err := proto.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// checkWire makes a check like grpc-go, without grpc-go.
func checkWire(ctx context.Context, tb testing.TB, s *Service, data mem.BufferSlice) { //nolint:thelper // that would take a quarter of a microsecond
	c := s.calls.get()
	if c.decode(data) != decoded {
		tb.Fatal("not read")
	}
	answer, err := s.answer(ctx, c)
	if err != nil {
		tb.Fatal(err)
	}
	answer.(*reply).take().Free()
}
