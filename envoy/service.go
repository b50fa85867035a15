package envoy

import (
	"context"
	"fmt"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/vault-authz/vault-authz/authz"
)

// A Decider decides. It is safe for concurrent use; a Decision that it did not
// fill in denies.
type Decider interface {
	Check(ctx context.Context, r *authz.Request) authz.Decision
}

// Options of a Service.
type Options struct {
	// Observer hears of each decision once, before the answer is sent. It must
	// not keep the request. nil: nobody does.
	Observer func(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration)
	// Log takes what is wrong with the service itself. nil: nowhere.
	Log *zap.Logger
}

// A Service answers Envoy's authorization calls.
type Service struct {
	authv3.UnimplementedAuthorizationServer
	decider Decider
	observe func(context.Context, *authz.Request, *authz.Decision, time.Duration)
	log     *zap.Logger
}

// NewService returns a Service that answers as decider decides.
func NewService(decider Decider, o Options) *Service {
	s := &Service{decider: decider, observe: o.Observer, log: o.Log}
	if s.observe == nil {
		s.observe = func(context.Context, *authz.Request, *authz.Decision, time.Duration) {}
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	return s
}

// Register adds the service to a gRPC server.
func Register(r grpc.ServiceRegistrar, s *Service) { authv3.RegisterAuthorizationServer(r, s) }

// Check implements the envoy.service.auth.v3.Authorization service. Whatever
// happens in it, a panic included, the answer is an allow that was decided or a
// denial.
func (s *Service) Check(ctx context.Context, in *authv3.CheckRequest) (out *authv3.CheckResponse, err error) {
	began := time.Now()
	var r authz.Request
	defer func() {
		if p := recover(); p != nil {
			out, err = s.panicked(ctx, &r, p, time.Since(began)), nil
		}
	}()
	r = read(in)
	d := s.decider.Check(ctx, &r)
	if d.Allowed && !d.Shadow && ctx.Err() != nil {
		// Whoever asked has gone: an allow that came too late is none.
		d = authz.Decision{Reason: authz.ReasonCanceled, Policy: d.Policy, AccessToken: d.AccessToken, Err: context.Cause(ctx)}
	}
	out, err = respond(&r, &d)
	s.observe(ctx, &r, &d, time.Since(began))
	return out, err
}

// panicked denies after a panic. Of what was panicked with only the type is
// logged: its text may hold a token.
func (s *Service) panicked(ctx context.Context, r *authz.Request, p any, took time.Duration) (out *authv3.CheckResponse) {
	// Whatever else goes wrong: no answer would be encoded as an empty one, and
	// that allows.
	out = bareDenial()               //nolint:wastedassign // what is answered if anything below panics
	defer func() { _ = recover() }() // the observer may be what panicked
	s.log.Error("panic in a check, the request is denied", zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
	d := authz.Decision{Reason: authz.ReasonInternal}
	out = denied(&authz.Request{}, &d)
	s.observe(ctx, r, &d, took)
	return out
}
