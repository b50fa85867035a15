package tracing

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// BenchmarkCheck is the cost of the span of a check that is exported, and of one that is not.
func BenchmarkCheck(b *testing.B) {
	for name, traceparent := range map[string]string{"sampled": sampled, "unsampled": unsampled} {
		b.Run(name, func(b *testing.B) {
			traces := newTraces(b.Context(), tracetest.NewNoopExporter(), zap.NewNop())
			defer traces.Shutdown(b.Context(), time.Second)
			ctx := call(b, traceparent)
			d := authz.Decision{Allowed: true, Reason: authz.ReasonAuthenticated, Policy: &authz.Policy{Name: "gold", Vault: "main"}, AccessToken: access}
			r := authz.Request{Received: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				traces.End(traces.Begin(ctx, &r), &r, &d, time.Millisecond)
			}
		})
	}
}
