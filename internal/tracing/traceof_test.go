package tracing

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vault-authz/vault-authz/authz"
)

var _ authz.TraceOf = TraceOf

func TestTheTraceOfACheckIsThatOfItsSpan(t *testing.T) {
	t.Parallel()
	const clientTrace = "cccccccccccccccccccccccccccccccc"
	client := func(flags string) string { return "00-" + clientTrace + "-00f067aa0ba902b7-" + flags }
	for _, test := range []struct {
		name string
		// call is the metadata of the call, request the header of the request.
		call, request []string
		want          string
		sampled       bool
		// own says that with spans of our own the trace is one that begins here.
		own bool
	}{
		{name: "neither Envoy nor the client traces", own: true},
		{name: "Envoy traces", call: []string{sampled}, want: someTrace, sampled: true},
		{name: "Envoy does not sample the trace", call: []string{unsampled}, want: someTrace},
		{name: "Envoy's trace goes before the client's", call: []string{sampled}, request: []string{client("01")}, want: someTrace, sampled: true},
		{name: "Envoy's trace that is not sampled, too", call: []string{unsampled}, request: []string{client("01")}, want: someTrace},
		{name: "only the client traces", request: []string{client("01")}, want: clientTrace, sampled: true, own: true},
		{name: "only the client traces, not sampled", request: []string{client("00")}, want: clientTrace, own: true},
		{name: "what Envoy sends cannot be read", call: []string{sampled[1:]}, own: true},
		{name: "Envoy sends it twice", call: []string{sampled, sampled}, own: true},
		{name: "odd bytes in the call", call: []string{"00-" + strings.Repeat("\n", 32) + "-00f067aa0ba902b7-01"}, own: true},
		{name: "odd bytes in the request", request: []string{"00-" + strings.Repeat("\"", 32) + "-00f067aa0ba902b7-01"}, own: true},
		{name: "the request has it twice", request: []string{client("01"), client("01")}, own: true},
	} {
		for name, traces := range map[string]*Traces{
			"no spans":               nil,
			"spans":                  newTraces(t.Context(), tracetest.NewNoopExporter(), zap.NewNop()),
			"spans of parents alone": newTraces(t.Context(), tracetest.NewNoopExporter(), zap.NewNop(), trace.WithSampler(trace.ParentBased(trace.NeverSample()))),
			"no span is sampled":     newTraces(t.Context(), tracetest.NewNoopExporter(), zap.NewNop(), trace.WithSampler(trace.NeverSample())),
		} {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"traceparent": test.call, "content-type": {"application/grpc"}})
			var r authz.Request
			for _, value := range test.request {
				r.Headers = append(r.Headers, authz.Header{Name: "traceparent", Value: value})
			}
			want, wantSampled := test.want, test.sampled
			if traces != nil {
				ctx = traces.Begin(ctx, &r)
				t.Cleanup(func() { traces.Shutdown(context.WithoutCancel(t.Context()), 0) })
			}
			got, sampled := TraceOf(ctx, &r)
			if name == "spans" && test.own {
				if len(got) != 32 || got == clientTrace || !sampled {
					t.Errorf("%s, %s: got %q, sampled %t, want a trace that begins here", test.name, name, got, sampled)
				}
				continue
			}
			if got != want || sampled != wantSampled {
				t.Errorf("%s, %s: got %q, sampled %t, want %q, %t", test.name, name, got, sampled, want, wantSampled)
			}
		}
	}
}

func TestAllocNothingForACheckWithoutATrace(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"content-type": {"application/grpc"}, ":authority": {"x"}})
	r := authz.Request{Headers: []authz.Header{{Name: "host", Value: "x"}}}
	if n := testing.AllocsPerRun(100, func() { _, _ = TraceOf(ctx, &r) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
