package envoy

import (
	"context"
	"fmt"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// A Decider decides about requests. It must be safe for concurrent use. A Decision that it does not
// fill in denies. The request and its strings are valid until the answer is written: what outlives
// the call must be cloned.
type Decider interface {
	Check(ctx context.Context, r *authz.Request) authz.Decision
}

// Options of a Service.
type Options struct {
	// Begin, if it is not nil, is called once before each decision. The Decider and the
	// Observer get the context that it returns. It must not keep the request or its strings.
	Begin func(ctx context.Context, r *authz.Request) context.Context
	// Observer, if it is not nil, is called once with each decision, before the answer is
	// sent. It must not keep the request, the decision, or their strings.
	Observer func(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration)
	// Log, if it is not nil, receives errors of the service itself.
	Log *zap.Logger
}

// A Service answers check requests of Envoy. It is safe for concurrent use.
type Service struct {
	decider Decider
	begin   func(context.Context, *authz.Request) context.Context
	observe func(context.Context, *authz.Request, *authz.Decision, time.Duration)
	log     *zap.Logger
	calls   calls
}

// NewService returns a Service that answers as decider decides.
func NewService(decider Decider, o Options) *Service {
	s := &Service{decider: decider, begin: o.Begin, observe: o.Observer, log: o.Log, calls: calls{of: newRequestSchema()}}
	if s.observe == nil {
		s.observe = func(context.Context, *authz.Request, *authz.Decision, time.Duration) {}
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	return s
}

// answer ends the call and returns the reply.
func (s *Service) answer(ctx context.Context, c *call) (any, error) {
	buffer := c.begin()
	err := s.check(ctx, c)
	out := c.end(buffer)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// check decides about a request and writes the answer. The answer is an allow only if that was
// decided. After a panic it is a denial.
func (s *Service) check(ctx context.Context, c *call) (err error) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.panicked(ctx, c, p, time.Since(began))
			err = nil
		}
	}()
	d := &c.decision
	c.request.Received = began
	if s.begin != nil {
		ctx = s.begin(ctx, &c.request)
	}
	var unread bool
	if *d, unread = c.result.decision(ctx); !unread {
		*d = s.decider.Check(ctx, &c.request)
	}
	if d.Allowed && !d.Shadow && ctx.Err() != nil {
		// The gateway no longer waits, so a late allow becomes a denial.
		*d = d.Deny(authz.ReasonCanceled, context.Cause(ctx))
	}
	err = respond(&c.answer, &c.request, d)
	s.observe(ctx, &c.request, d, time.Since(began))
	return err
}

// panicked denies after a panic. It logs only the type of the panic value, whose text may contain a
// token.
func (s *Service) panicked(ctx context.Context, c *call, p any, took time.Duration) {
	c.decision = authz.Decision{Reason: authz.ReasonInternal}
	c.answer.denyWhatever(&c.decision)
	defer func() { _ = recover() }() // the observer may panic again
	s.log.Error("panic in a check, the request is denied", zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
	s.observe(ctx, &c.request, &c.decision, took)
}

// Answer answers a request with generated types, without a gRPC server. It is not called Check, so
// that a Service cannot be registered directly: then grpc-go would decode the requests, and fail
// the calls of those that it cannot decode.
func (s *Service) Answer(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	c := s.calls.get()
	if data, err := proto.Marshal(in); err == nil {
		c.decode(mem.BufferSlice{mem.SliceBuffer(data)})
	}
	answer, err := s.answer(ctx, c)
	if err != nil {
		return nil, err
	}
	var out authv3.CheckResponse
	if err := proto.Unmarshal(answer.(*reply).take().Materialize(), &out); err != nil { //nolint:forcetypeassert // it is one
		return nil, fmt.Errorf("decoding the answer: %w", err)
	}
	return &out, nil
}
