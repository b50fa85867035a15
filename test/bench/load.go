package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A question is a request with the status that its answer must have.
type question struct {
	access, secret string
	allowed        bool
	// body goes along, and refused says that the server may have no room for it.
	body    []byte
	refused bool
}

// questions makes the i-th request of a load.
type questions func(i int) question

func hit(int) question         { return question{access: accessToken, secret: secretToken, allowed: true} }
func wrongSecret(int) question { return question{access: accessToken, secret: "wrong"} }
func unknown(int) question     { return question{access: "nobody", secret: secretToken} }

// fresh makes questions that nobody has asked before.
func fresh() questions {
	var asked atomic.Int64
	return func(int) question {
		return question{access: fmt.Sprintf("nobody-%d", asked.Add(1)), secret: secretToken}
	}
}

// among asks for one of n credentials after the other, in an order without
// locality.
func among(n int) questions {
	return func(i int) question {
		// A prime, so that each comes once and none next to the last.
		return question{access: fmt.Sprintf("%s%024d", manyPrefix, i*7_368_787%n), secret: secretToken, allowed: true}
	}
}

// A level is how many calls are in flight, over how many connections.
type level struct{ connections, perConnection int }

func (l level) String() string { return fmt.Sprintf("%dx%d", l.connections, l.perConnection) }

// load makes calls at one level, the next as soon as one is answered, and checks
// every answer.
func load(ctx context.Context, address string, l level, calls int, ask questions) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range l.connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		client := authv3.NewAuthorizationClient(conn)
		for range l.perConnection {
			g.Go(func() error {
				for {
					i := int(next.Add(1))
					if i > calls {
						return nil
					}
					if err := check(ctx, client, ask(i)); err != nil {
						return err
					}
				}
			})
		}
	}
	return g.Wait()
}

func check(ctx context.Context, client authv3.AuthorizationClient, q question) error {
	out, err := client.Check(ctx, q.request())
	if err != nil {
		return err
	}
	if allowed := out.GetStatus().GetCode() == 0; allowed != q.allowed && !q.refused {
		return fmt.Errorf("allowed: got %t, want %t (%s)", allowed, q.allowed, out.GetDeniedResponse().GetStatus().GetCode())
	}
	return nil
}

// headers are those of a browser's request; with the four pseudo-headers and the
// two tokens they are 20.
func headers() [][2]string {
	return [][2]string{
		{"accept", "application/json, text/plain, */*"},
		{"accept-encoding", "gzip, deflate, br"},
		{"accept-language", "en-GB,en;q=0.9"},
		{"cache-control", "no-cache"},
		{"cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"},
		{"origin", "https://www.example.com"},
		{"referer", "https://www.example.com/orders"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"},
		{"x-forwarded-for", "203.0.113.7"},
		{"x-forwarded-proto", "https"},
		{"x-request-id", "0a3e1f52-6d1c-4c8e-9d53-3f0b1f0c7a11"},
		{"x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"},
		{"x-b3-spanid", "e457b5a2e4d86bd1"},
		{"x-b3-sampled", "1"},
	}
}

// browser returns the headers of a request to the gateway. A token that is empty
// is left out.
func browser(access, secret string) http.Header {
	h := http.Header{}
	for _, pair := range append(headers(), [2]string{"access-token", access}, [2]string{"secret-token", secret}) {
		if pair[1] != "" {
			h.Set(pair[0], pair[1])
		}
	}
	return h
}

// request is a browser's as Envoy tells of it with encode_raw_headers.
func (q question) request() *authv3.CheckRequest {
	pairs := append([][2]string{
		{":authority", "api.example.com"}, {":method", "GET"}, {":path", "/orders/7?page=2"}, {":scheme", "https"},
	}, headers()...)
	pairs = append(pairs, [2]string{"access-token", q.access}, [2]string{"secret-token", q.secret})
	values := make([]*corev3.HeaderValue, len(pairs))
	for i, pair := range pairs {
		values[i] = &corev3.HeaderValue{Key: pair[0], RawValue: []byte(pair[1])}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "203.0.113.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "13869142855783664817", Method: "GET", Path: "/orders/7?page=2", Host: "api.example.com", Scheme: "https", Protocol: "HTTP/1.1",
			HeaderMap: &corev3.HeaderMap{Headers: values}, RawBody: q.body,
		}},
	}}
}
