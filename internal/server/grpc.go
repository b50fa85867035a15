package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Limits of the gRPC server. Their reasons are the same in every installation, so they are
// not options.
const (
	// maxStreams is the limit of concurrent calls on a connection. grpc-go has no limit
	// by default, which rapid reset (CVE-2023-44487) exploits. Envoy opens a connection
	// per worker and stays below this limit.
	maxStreams = 1024
	// maxHeaderList is the limit of the metadata of a call, in bytes. Clients influence
	// it: a tracer of Envoy copies their tracestate. A call above the limit fails before
	// vault-authz can deny it, so the limit is far above the size of the headers that
	// Envoy accepts from clients (60 KiB by default).
	maxHeaderList = 1 << 20
	// maxMessage is the limit of a message to the health and reflection services, whose
	// requests are small. The service for Envoy has its own limit.
	maxMessage = 64 << 10
	// streamWorkers is the number of goroutines that are kept for calls. When all are
	// busy, a further call gets a new one. A kept goroutine already has the stack that a
	// call needs. A new one grows it step by step, which is a tenth of the cost of a call
	// at 1,500 a second, and up to a fifth with 2 × 32 in flight.
	streamWorkers = 32
	// keepaliveTime is the silence after which a peer is asked whether it is alive, and
	// keepaliveTimeout the time that it has to answer, and to acknowledge what it is sent.
	keepaliveTime    = time.Minute
	keepaliveTimeout = 10 * time.Second
	// handshakeTimeout is the limit for the handshake of a connection.
	handshakeTimeout = 10 * time.Second
)

// Connections are closed at this age, plus or minus a tenth, so that gateways also use new
// replicas: otherwise HTTP/2 connections live forever.
const (
	maxConnectionAge      = 10 * time.Minute
	maxConnectionAgeGrace = 30 * time.Second
)

// GRPCOptions returns the options of a gRPC server with these limits.
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
			Time:                  keepaliveTime,
			Timeout:               keepaliveTimeout,
		}),
		// With grpc-go's default of five minutes the usual connection_keepalive of
		// Envoy leads to GOAWAY "too many pings".
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             10 * time.Second,
			PermitWithoutStream: true,
		}),
	}
}
