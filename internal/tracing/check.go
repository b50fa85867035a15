package tracing

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/vault-authz/vault-authz/authz"
)

// The attributes of spans. They never contain a token, nor anything else of a request.
const (
	attributeDecision   = attribute.Key("vault_authz.decision")
	attributeReason     = attribute.Key("vault_authz.reason")
	attributePolicy     = attribute.Key("vault_authz.policy")
	attributeShadow     = attribute.Key("vault_authz.shadow")
	attributeCredential = attribute.Key("vault_authz.credential")
	attributeVault      = attribute.Key("vault_authz.vault")
	attributeCache      = attribute.Key("vault_authz.cache")
	attributeOutcome    = attribute.Key("vault_authz.outcome")
)

// checkSpan is the name of the span of a check, as that of every gRPC call: service and method.
const checkSpan = "envoy.service.auth.v3.Authorization/Check"

// Begin begins the span of a check. Its parent is in the metadata of the call, where Envoy puts
// its own span. It ignores trace headers in the HTTP request, and the tracestate that Envoy may
// copy from there, because the client may have set them.
func (t *Traces) Begin(ctx context.Context, r *authz.Request) context.Context {
	ctx = propagation.TraceContext{}.Extract(ctx, incoming{ctx})
	ctx = trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(ctx).WithTraceState(trace.TraceState{}))
	ctx, _ = t.tracer.Start(ctx, checkSpan, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Received))
	return ctx
}

// End ends the span that Begin began.
func (t *Traces) End(ctx context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attributes := make([]attribute.KeyValue, 0, 7)
	attributes = append(attributes, attributeDecision.String(d.Verdict()), attributeReason.String(d.Reason.String()))
	if d.Policy != nil {
		attributes = append(attributes, attributePolicy.String(d.Policy.Name), attributeVault.String(d.Policy.Vault))
	}
	if d.Shadow {
		attributes = append(attributes, attributeShadow.Bool(true))
	}
	if d.AccessToken != "" {
		attributes = append(attributes, attributeCredential.String(authz.Fingerprint(d.AccessToken)))
	}
	if d.Lookup != "" {
		attributes = append(attributes, attributeCache.String(d.Lookup))
	}
	span.SetAttributes(attributes...)
	if !d.Allowed && d.Reason.Status() >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, d.Reason.String())
	}
	span.End(trace.WithTimestamp(r.Received.Add(took)))
}

// TraceOf returns the id of the trace that the span of a check is a part of, and whether that
// trace is sampled. Where this service records no span, it is the trace of Envoy's, or else the
// one that the client names in the request, "" for none. It is an [authz.TraceOf].
func TraceOf(ctx context.Context, r *authz.Request) (id string, sampled bool) {
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		return span.TraceID().String(), true
	}
	if id, sampled = authz.TraceID(incoming{ctx}.Get(parent)); id == "" {
		id, sampled = authz.TraceID(r.Header(parent))
	}
	return id, sampled
}

// parent is the name of the header, and of the metadata, with the trace and the span that a
// call is a part of (W3C Trace Context).
const parent = "traceparent"

// incoming is the metadata of a gRPC call.
type incoming struct{ ctx context.Context }

// Get implements [propagation.TextMapCarrier].
func (c incoming) Get(key string) string {
	if values := metadata.ValueFromIncomingContext(c.ctx, key); len(values) == 1 {
		return values[0]
	}
	return ""
}

// Set implements [propagation.TextMapCarrier].
func (incoming) Set(string, string) {}

// Keys implements [propagation.TextMapCarrier].
func (incoming) Keys() []string { return nil }
