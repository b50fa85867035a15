package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// A Server runs the listeners from start to drain.
type Server struct {
	log    *zap.Logger
	grpc   *grpc.Server
	health *health.Server
	// served are the names that the health service is asked about: that of each
	// service, and the empty one for all of them.
	served []string
	checks []Check
	drain  Drain

	draining atomic.Bool
}

// Drain is how long a stop takes at the most.
type Drain struct {
	// Wait is the time between reporting "not ready" and refusing new calls,
	// so that gateways and load balancers look elsewhere first.
	Wait time.Duration
	// Timeout bounds the wait for calls under way after that.
	Timeout time.Duration
}

// New returns a Server for a gRPC server whose services are registered already.
// It adds the health service, which knows each of them by its name. It is ready
// when every check passes.
func New(log *zap.Logger, srv *grpc.Server, checks []Check, drain Drain) *Server {
	s := &Server{
		log: log, grpc: srv, health: health.NewServer(), checks: checks, drain: drain,
		served: slices.AppendSeq([]string{""}, maps.Keys(srv.GetServiceInfo())),
	}
	s.tellHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(srv, s.health)
	return s
}

func (s *Server) tellHealth(status healthpb.HealthCheckResponse_ServingStatus) {
	for _, name := range s.served {
		s.health.SetServingStatus(name, status)
	}
}

// Listeners are where the server is reached.
type Listeners struct {
	GRPC, Probes net.Listener
	// ProbesTLS, if not nil, is the TLS of the probes. That of the gRPC server is one of
	// its options.
	ProbesTLS *tlsfiles.Server
	// ProbesLog takes the lines of the HTTP server of the probes, nil for nobody.
	ProbesLog io.Writer
}

// Run serves until ctx ends, then drains, and returns once everything it
// started has stopped. It closes the listeners.
func (s *Server) Run(ctx context.Context, l Listeners, metrics http.Handler) error {
	handler := s.probes(metrics)
	if l.ProbesTLS != nil {
		handler = Trusting(l.ProbesTLS, handler)
		l.Probes = tls.NewListener(l.Probes, l.ProbesTLS.Config("h2", "http/1.1"))
	}
	probes := newHTTP(handler, l.ProbesLog)
	// The listeners outlive ctx: they serve until the drain is over.
	g, running := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error {
		if err := s.grpc.Serve(pacing{l.GRPC}); err != nil {
			return fmt.Errorf("serving grpc: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		if err := probes.Serve(l.Probes); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving probes: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		s.reportHealth(ctx, running)
		s.stop(running, probes)
		return nil
	})
	return g.Wait()
}

// healthInterval is how often readiness is carried over to the health service.
const healthInterval = 250 * time.Millisecond

// reportHealth keeps the health service up to date until either context ends.
func (s *Server) reportHealth(ctx, running context.Context) {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	var was bool
	for {
		if is := s.ready(); is != was {
			was = is
			status := healthpb.HealthCheckResponse_NOT_SERVING
			if is {
				status = healthpb.HealthCheckResponse_SERVING
			}
			s.tellHealth(status)
			s.log.Info("readiness changed", zap.Bool("ready", is))
		}
		select {
		case <-ctx.Done():
			return
		case <-running.Done():
			return
		case <-tick.C:
		}
	}
}

// stop drains: not ready first, then no new calls, then the calls under way,
// then the end.
func (s *Server) stop(running context.Context, probes *http.Server) {
	s.log.Info("draining", zap.Duration("wait", s.drain.Wait), zap.Duration("timeout", s.drain.Timeout))
	s.draining.Store(true)
	s.health.Shutdown()
	select {
	case <-running.Done():
	case <-time.After(s.drain.Wait):
	}
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.drain.Timeout):
		s.log.Warn("calls still under way were cut off")
		s.grpc.Stop()
		<-done
	}
	_ = probes.Close()
	s.log.Info("stopped")
}
