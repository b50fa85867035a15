package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Limits of the gRPC server. Each has a reason that does not change from one
// installation to the next, so none is an option.
const (
	// maxStreams bounds concurrent calls on one connection. grpc-go's own
	// default is no bound, on which rapid reset (CVE-2023-44487) feeds. Envoy
	// opens a connection per worker and stays below it.
	maxStreams = 1024
	// maxHeaderList bounds the metadata of one call, in bytes. The client has a
	// hand in it: a tracer of Envoy's copies its tracestate. A call that goes
	// beyond it fails before anything can deny it, so this is far above the
	// headers that Envoy takes from clients (60 KiB unless configured).
	maxHeaderList = 1 << 20
	// maxMessage bounds one message of the services beside Envoy's, which reads
	// its own: health and reflection are asked in a few bytes.
	maxMessage = 64 << 10
	// streamWorkers is how many goroutines are kept to serve calls; when all are
	// busy, further calls get one of their own, as without. A kept one has the
	// stack that a call needs, which a new one grows step by step: a tenth to a
	// fifth of what a call costs at 2 × 8 and 2 × 32 in flight.
	streamWorkers = 32
	// handshakeTimeout bounds how long a connection may take to get going.
	handshakeTimeout = 10 * time.Second
)

// Connections are closed at this age, give or take a tenth, so that gateways
// spread over new replicas: HTTP/2 connections live as long as they are let.
const (
	maxConnectionAge      = 10 * time.Minute
	maxConnectionAgeGrace = 30 * time.Second
)

// GRPCOptions returns what a gRPC server with our limits is made with.
func GRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxHeaderListSize(maxHeaderList),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge:      maxConnectionAge,
			MaxConnectionAgeGrace: maxConnectionAgeGrace,
			Time:                  time.Minute,
			Timeout:               10 * time.Second,
		}),
		// grpc-go's default of five minutes answers Envoy's usual
		// connection_keepalive with GOAWAY "too many pings".
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             10 * time.Second,
			PermitWithoutStream: true,
		}),
	}
}
