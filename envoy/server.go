package envoy

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// NewServer returns a gRPC server that serves s. It denies check requests above maxRequestBytes
// without reading them, and counts requests that it does not read. Other services can be added.
// Options for the codec and the flow-control windows, which s depends on, have no effect.
func NewServer(s *Service, maxRequestBytes int, reg prometheus.Registerer, options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(options[:len(options):len(options)],
		grpc.ForceServerCodecV2(newCodec()),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
	)...)
	counter := newCallCounter()
	reg.MustRegister(counter)
	description := authv3.Authorization_ServiceDesc
	description.HandlerType = (*any)(nil)
	description.Methods = []grpc.MethodDesc{{MethodName: "Check", Handler: handle}}
	server.RegisterService(&description, &endpoint{Service: s, receiver: newReceiver(maxRequestBytes, reg), counter: counter})
	return server
}

// An endpoint is a Service with a receiver, as a gRPC server needs it.
type endpoint struct {
	*Service
	*receiver
	counter *callCounter
}

// handle is called by grpc-go for each check. The receiver reads the message, not the decoder of
// grpc-go.
func handle(srv any, ctx context.Context, _ func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	e := srv.(*endpoint) //nolint:forcetypeassert // NewServer registers nothing else
	e.counter.begin()
	out, err := e.handle(ctx, intercept)
	e.counter.end(ctx, err)
	return out, err
}

func (e *endpoint) handle(ctx context.Context, intercept grpc.UnaryServerInterceptor) (any, error) {
	c := e.calls.get()
	if room := e.receive(ctx, c); room > 0 {
		defer e.room.Release(room)
	}
	if intercept == nil {
		return e.answer(ctx, c)
	}
	info := &grpc.UnaryServerInfo{Server: e.Service, FullMethod: authv3.Authorization_Check_FullMethodName}
	return intercept(ctx, c, info, func(ctx context.Context, _ any) (any, error) { return e.answer(ctx, c) })
}
