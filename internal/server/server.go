package server

import (
	"context"
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
	// served are the names in the health service: the name of each service, and the
	// empty name for all of them.
	served []string
	checks []Check
	drain  Drain

	draining atomic.Bool
}

// Drain has the durations of a stop.
type Drain struct {
	// Wait is the time between reporting "not ready" and refusing new calls, so that
	// gateways and load balancers can change to other replicas.
	Wait time.Duration
	// Timeout is the limit for calls in flight after that.
	Timeout time.Duration
}

// New returns a Server for a gRPC server with registered services. It adds the health
// service, which has an entry for each of them. The Server is ready when every check passes.
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

// Listeners are the listeners of the server.
type Listeners struct {
	GRPC, Probes net.Listener
	// ProbesTLS is the TLS of the probes, nil for plain text. The TLS of the gRPC server
	// is one of its options.
	ProbesTLS *tlsfiles.Server
	// ProbesLog receives the log of the HTTP server of the probes. It may be nil.
	ProbesLog io.Writer
	// Debug, if it is not nil, serves the paths below /debug/ of the probes. It decides
	// which clients may.
	Debug http.Handler
}

// Run serves until ctx ends, then drains, and returns when all its goroutines have ended. It
// closes the listeners.
func (s *Server) Run(ctx context.Context, l Listeners, metrics http.Handler) error {
	probes := newHTTP(s.probes(metrics, l.Debug), l.ProbesLog)
	l.Probes = OverTLS(l.Probes, l.ProbesTLS, probes)
	// The listeners serve until the end of the drain, so longer than ctx.
	g, running := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error {
		if err := s.grpc.Serve(l.GRPC); err != nil {
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

// healthInterval is the interval at which the health service is updated.
const healthInterval = 250 * time.Millisecond

// reportHealth updates the health service until one of the contexts ends.
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

// stop drains: it reports "not ready", waits, refuses new calls, and waits for the calls in
// flight.
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
