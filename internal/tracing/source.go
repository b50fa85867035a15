package tracing

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
)

// readSpan is the name of the span of a read of Vault.
const readSpan = "vault read"

// Rules returns rules by which a load is a part of the trace of the check that began it.
func (t *Traces) Rules(rules cache.Rules[authz.Credential]) cache.Rules[authz.Credential] {
	if t != nil {
		rules.Inherit = inherit
	}
	return rules
}

func inherit(load, caller context.Context) context.Context {
	if of := trace.SpanContextFromContext(caller); of.IsSampled() {
		return trace.ContextWithSpanContext(load, of)
	}
	return load
}

// A Read reads a credential from a vault object.
type Read = func(ctx context.Context, accessToken string) (authz.Credential, error)

// Read returns read with a span below that of the check that began it. A span may end after
// the one of the check: a read goes on for the next request, and a refresh ahead of expiry
// keeps nobody waiting.
func (t *Traces) Read(vault string, read Read) Read {
	if t == nil {
		return read
	}
	kind, of := trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributeVault.String(vault))
	return func(ctx context.Context, accessToken string) (authz.Credential, error) {
		if !trace.SpanContextFromContext(ctx).IsSampled() {
			return read(ctx, accessToken)
		}
		ctx, span := t.tracer.Start(ctx, readSpan, kind, of)
		outcome := "panic"
		defer func() {
			span.SetAttributes(attributeOutcome.String(outcome))
			span.End()
		}()
		c, err := read(ctx, accessToken)
		if outcome = authz.ReadOutcome(err); outcome == authz.ReadUnavailable {
			// The error is in the log. Here it would go to others.
			span.SetStatus(codes.Error, outcome)
		}
		return c, err
	}
}
