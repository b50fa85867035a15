package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/server"
)

// grpcServer returns the gRPC server that Envoy asks, with the metrics and the log of decisions.
func grpcServer(c *config.Config, decider envoy.Decider, metrics *authz.Metrics, d listenersTLS, reg prometheus.Registerer, logs *logging.Logs) *grpc.Server {
	lines := authz.NewDecisionLog(logs.Decisions, c.Log.AllowSample)
	observe := func(_ context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
		metrics.Count(r, d, took)
		lines.Write(r, d, took)
	}
	service := envoy.NewService(decider, envoy.Options{
		Observer: observe,
		Log:      logs.Log.Named("envoy"),
	})
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
