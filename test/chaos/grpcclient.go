package main

import (
	"context"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A grpcClient asks the service as Envoy does.
type grpcClient struct {
	conn   *grpc.ClientConn
	client authv3.AuthorizationClient
}

var _ checker = (*grpcClient)(nil)

func newGRPCClient(address string) (*grpcClient, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &grpcClient{conn, authv3.NewAuthorizationClient(conn)}, nil
}

func (d *grpcClient) check(ctx context.Context, p pair) outcome {
	return p.judge(d.client.Check(ctx, p.request()))
}

func (d *grpcClient) close() error { return d.conn.Close() }

func (p pair) request() *authv3.CheckRequest {
	headers := map[string]string{
		":authority": "api.example.com", ":method": "GET", ":path": "/orders/7", ":scheme": "https",
		"accept": "*/*", "user-agent": "chaos", "x-forwarded-for": "203.0.113.7",
		"access-token": p.access, "secret-token": p.secret,
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/orders/7", Host: "api.example.com", Scheme: "https", Protocol: "HTTP/1.1", Headers: headers,
		}},
	}}
}

// judge interprets an answer as Envoy does: status 0 is an allow, whatever the rest is.
func (p pair) judge(answer *authv3.CheckResponse, err error) outcome {
	switch {
	case err != nil:
		return unanswered
	case answer.GetStatus().GetCode() != 0 && answer.GetDeniedResponse().GetStatus().GetCode() == 503:
		return unavailable
	case answer.GetStatus().GetCode() != 0:
		return denied
	case consumer(answer.GetOkResponse().GetHeaders()) != p.consumer:
		return wrongConsumer
	}
	return allowed
}

func consumer(headers []*corev3.HeaderValueOption) string {
	for _, h := range headers {
		if h.GetHeader().GetKey() == "x-consumer-id" {
			return h.GetHeader().GetValue() + string(h.GetHeader().GetRawValue())
		}
	}
	return ""
}
