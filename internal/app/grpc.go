package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/tracing"
)

// grpcServer returns the gRPC server that Envoy asks, with the metrics, the log, the memory and the
// traces of decisions.
func grpcServer(c *config.Config, decider envoy.Decider, metrics *authz.Metrics, lines *atomic.Pointer[authz.DecisionLog], denials *authz.Denials, traces *tracing.Traces, d listenersTLS, reg prometheus.Registerer, logs *logging.Logs) *grpc.Server {
	observe := func(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
		metrics.Count(ctx, r, d, took)
		lines.Load().Write(ctx, r, d, took)
		denials.Record(r, d, took)
	}
	o := envoy.Options{Observer: observe, Log: logs.Log.Named("envoy")}
	if traces != nil {
		o.Begin = traces.Begin
		o.Observer = func(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
			observe(ctx, r, d, took)
			traces.End(ctx, r, d, took)
		}
	}
	service := envoy.NewService(decider, o)
	options := server.GRPCOptions()
	if d.grpc != nil {
		options = append(options, d.handshakes.GRPC(grpcListener, d.grpc))
	}
	srv := envoy.NewServer(service, c.GRPC.MaxRequestBytes, reg, options...)
	if c.GRPC.Reflection {
		reflection.Register(srv)
	}
	return srv
}
