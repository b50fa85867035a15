package main

import (
	"context"
	"fmt"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// What the requests and the records in the store are made of.
const (
	accessToken = "v3cOV1jWglS0PFOrTcdr85bs1GP0e2yM"
	secretToken = "11XYyybbu3Ty0Qt4ImIshPGQ0WsvjLzl"
	consumerID  = "ce67c25e-2168-4a09-81e5-e06187a2384f"
)

// A question is a request with the status that its answer must have.
type question struct {
	access, secret string
	allowed        bool
}

func hit(int) question         { return question{accessToken, secretToken, true} }
func wrongSecret(int) question { return question{accessToken, "wrong", false} }
func unknown(int) question     { return question{"nobody", secretToken, false} }
func miss(i int) question {
	return question{fmt.Sprintf("nobody-%d", i), secretToken, false}
}

// load makes calls at one level and checks every answer.
func (c *child) load(ctx context.Context, l level, calls, round int, request func(int) question) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range l.connections {
		conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
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
					q := request(round*calls*1000 + l.perConnection*calls + i)
					out, err := client.Check(ctx, q.request())
					if err != nil {
						return err
					}
					if allowed := out.GetStatus().GetCode() == 0; allowed != q.allowed {
						return fmt.Errorf("allowed: got %t, want %t", allowed, q.allowed)
					}
				}
			})
		}
	}
	return g.Wait()
}

// request is as a browser's through Envoy: 20 headers.
func (q question) request() *authv3.CheckRequest {
	headers := make([]*corev3.HeaderValue, 0, 20)
	for _, h := range [...][2]string{
		{":authority", "api.example.com"},
		{":method", "GET"},
		{":path", "/orders/7?page=2"},
		{":scheme", "https"},
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
		{"access-token", q.access},
		{"secret-token", q.secret},
	} {
		headers = append(headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "203.0.113.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "13869142855783664817", Method: "GET", Path: "/orders/7?page=2", Host: "api.example.com", Scheme: "https", Protocol: "HTTP/1.1",
			HeaderMap: &corev3.HeaderMap{Headers: headers},
		}},
	}}
}
