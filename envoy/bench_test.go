package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
)

// benchRequest returns a request with 20 headers, raw or joined. tokens are names and values.
func benchRequest(raw bool, tokens ...string) *authv3.CheckRequest {
	h := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/orders/7?a=1", Host: "shop.test", Scheme: "http", Headers: map[string]string{}}
	if tokens == nil {
		tokens = []string{"access-token", "alice-access", "secret-token", "alice-secret"}
	}
	pairs := append(tokens, "accept", "application/json, text/plain, */*", "x-request-id", requestUUID)
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

// BenchmarkWholeCheck is all of our part of a check: from the bytes of the request to
// those of the answer, with the decision out of the cache, metrics and log.
func BenchmarkWholeCheck(b *testing.B) {
	for _, check := range []struct {
		name, access, secret string
		denial               authz.DenialOptions
	}{
		{name: "hit", access: "alice-access", secret: "alice-secret"},
		{name: "wrong_secret", access: "alice-access", secret: "wrong"},
		{name: "unknown", access: "nobody", secret: "alice-secret"},
		{name: "unknown_own_denial", access: "nobody", secret: "alice-secret", denial: plainDenials()},
	} {
		data := marshal(b, benchRequest(true, "access-token", check.access, "secret-token", check.secret))
		e := wholeEndpoint(b, check.denial)
		stream := &readyStream{prefix: announced(len(data)), message: mem.BufferSlice{mem.SliceBuffer(data)}}
		ctx := grpc.NewContextWithServerTransportStream(b.Context(), stream)
		b.Run(check.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stream.read = false
				answer, err := handle(e, ctx, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				answer.(*reply).take().Free()
			}
		})
	}
}

// A readyStream has a message that is there and costs nothing to read.
type readyStream struct {
	grpc.ServerTransportStream

	prefix  []byte
	read    bool
	message mem.BufferSlice
}

func (s *readyStream) ReadMessageHeader(prefix []byte) error {
	if s.read {
		return io.EOF
	}
	copy(prefix, s.prefix)
	return nil
}

func (s *readyStream) Read(int) (mem.BufferSlice, error) {
	s.read = true
	return s.message, nil
}

// wholeEndpoint is what the product puts together, with a store that has one credential.
func wholeEndpoint(tb testing.TB, denial authz.DenialOptions) *endpoint {
	tb.Helper()
	const id = "c0ffee00-0000-4000-8000-000000000001"
	digester := authz.NewDigester()
	load := func(_ context.Context, accessToken string) (authz.Credential, error) {
		if accessToken != "alice-access" {
			return authz.Credential{}, authz.ErrNotFound
		}
		return authz.Credential{AccessToken: accessToken, ConsumerID: id, Secret: digester.Digest("main", accessToken, "alice-secret")}, nil
	}
	source, err := cache.New(cache.DefaultConfig(), load, cache.Rules[authz.Credential]{
		Absent: func(err error) bool { return errors.Is(err, authz.ErrNotFound) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(source.Close)
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default, p.Denial = "orders", "main", true, denial
	snapshot, err := authz.NewSnapshot([]authz.Policy{p}, []authz.Consumer{
		{ID: id, Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}},
	}, map[string]authz.Source{"main": source})
	if err != nil {
		tb.Fatal(err)
	}
	authorizer := authz.New(snapshot, digester, authz.DefaultGrammar())
	metrics, err := authz.NewMetrics(prometheus.NewRegistry(), authorizer, nil)
	if err != nil {
		tb.Fatal(err)
	}
	lines := authz.NewDecisionLog(zap.NewNop(), 0, nil)
	return newEndpoint(NewService(authorizer, Options{
		Observer: func(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
			metrics.Count(ctx, r, d, took)
			lines.Write(ctx, r, d, took)
		},
	}))
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
