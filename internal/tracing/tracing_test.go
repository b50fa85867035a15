package tracing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/metadata"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
)

const (
	someTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	someParent = "00f067aa0ba902b7"
	sampled    = "00-" + someTrace + "-" + someParent + "-01"
	unsampled  = "00-" + someTrace + "-" + someParent + "-00"
)

// tokens are in what is traced, and in no trace.
const access, secret = "access-token-of-alice", "secret-token-of-alice"

func recorded(t *testing.T) (*Traces, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	traces := newTraces(t.Context(), tracetest.NewNoopExporter(), zap.NewNop(), sdktrace.WithSpanProcessor(spans))
	t.Cleanup(func() { traces.Shutdown(context.WithoutCancel(t.Context()), time.Second) })
	return traces, spans
}

func call(tb testing.TB, traceparent string) context.Context {
	tb.Helper()
	return metadata.NewIncomingContext(tb.Context(), metadata.Pairs("traceparent", traceparent, "tracestate", "client="+secret))
}

func TestTracesAreOffUnlessTheEnvironmentAsksForThem(t *testing.T) {
	for _, test := range []struct {
		name        string
		environment map[string]string
		on          bool
		problem     string
	}{
		{name: "nothing is said"},
		{name: "an exporter", environment: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{name: "an endpoint", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{name: "an endpoint for traces", environment: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{name: "gRPC", environment: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, on: true},
		{name: "an endpoint and no exporter", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		{name: "disabled", environment: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}},
		{name: "another exporter", environment: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, problem: `OTEL_TRACES_EXPORTER: "zipkin" is not supported; give otlp or none`},
		{
			name:        "another protocol",
			environment: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
			problem:     `"http/json" is not supported; give grpc or http/protobuf`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			traces, err := New(t.Context(), "1.0.0", zap.NewNop())
			if (traces != nil) != test.on || (err != nil) != (test.problem != "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("got %v, %v", traces, err)
			}
			traces.Shutdown(t.Context(), time.Second)
		})
	}
}

// The library prints the values of headers that it cannot read.
func TestProblemsOfTheEnvironmentAreLoggedWithoutValues(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%zzhunter2,hunter2")
	core, logged := observer.New(zap.DebugLevel)
	traces, err := New(t.Context(), "1.0.0", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	traces.Shutdown(t.Context(), time.Second)
	if logged.FilterField(zap.String("problem", "parse headers")).Len() == 0 && logged.FilterField(zap.String("problem", "escape header value")).Len() == 0 {
		t.Errorf("no line about the headers: %v", logged.All())
	}
	for _, line := range logged.All() {
		if text := line.Message; strings.Contains(text, "hunter2") {
			t.Errorf("a secret is in %q", text)
		}
		for _, f := range line.Context {
			if strings.Contains(f.String, "hunter2") {
				t.Errorf("a secret is in %+v", f)
			}
		}
	}
}

// attributes returns the attributes of a span.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes() {
		out[strings.TrimPrefix(string(a.Key), "vault_authz.")] = a.Value.String()
	}
	return out
}

func TestASpanOfACheckHasTheDecisionAndNoToken(t *testing.T) {
	t.Parallel()
	traces, spans := recorded(t)
	policy := &authz.Policy{Name: "gold", Vault: "main"}
	for _, test := range []struct {
		name     string
		decision authz.Decision
		want     map[string]string
		status   codes.Code
	}{
		{
			"allowed",
			authz.Decision{Allowed: true, Reason: authz.ReasonAuthenticated, Policy: policy, AccessToken: access},
			map[string]string{"decision": "allow", "reason": "authenticated", "policy": "gold", "vault": "main", "credential": authz.Fingerprint(access)},
			codes.Unset,
		},
		{
			"denied",
			authz.Decision{Reason: authz.ReasonMissingToken, Policy: policy},
			map[string]string{"decision": "deny", "reason": "missing_token", "policy": "gold", "vault": "main"},
			codes.Unset,
		},
		{
			"only observed",
			authz.Decision{Allowed: true, Shadow: true, Reason: authz.ReasonUnavailable, Policy: policy},
			map[string]string{"decision": "allow", "reason": "unavailable", "policy": "gold", "vault": "main", "shadow": "true"},
			codes.Unset,
		},
		{
			"not decided",
			authz.Decision{Reason: authz.ReasonUnavailable, Err: errors.New(secret)},
			map[string]string{"decision": "deny", "reason": "unavailable"},
			codes.Error,
		},
		{"zero", authz.Decision{}, map[string]string{"decision": "deny", "reason": authz.ReasonUnset.String()}, codes.Unset},
	} {
		r := authz.Request{Received: time.Unix(1000, 0), Path: "/" + access, Headers: []authz.Header{{Name: "secret_token", Value: secret}}}
		ctx := traces.Begin(call(t, sampled), &r)
		traces.End(ctx, &r, &test.decision, time.Second)
		ended := spans.Ended()
		s := ended[len(ended)-1]
		if diff := cmp.Diff(test.want, attributes(s)); diff != "" {
			t.Errorf("%s: attributes (-want +got):\n%s", test.name, diff)
		}
		if state := s.SpanContext().TraceState().String(); state != "" {
			t.Errorf("%s: the span has the client's tracestate %q", test.name, state)
		}
		if s.Status().Code != test.status || strings.Contains(s.Status().Description, secret) {
			t.Errorf("%s: status %+v", test.name, s.Status())
		}
		if !s.StartTime().Equal(r.Received) || s.EndTime().Sub(s.StartTime()) != time.Second {
			t.Errorf("%s: from %s to %s", test.name, s.StartTime(), s.EndTime())
		}
		if s.Parent().TraceID().String() != someTrace || s.Parent().SpanID().String() != someParent || !s.Parent().IsRemote() {
			t.Errorf("%s: parent %+v", test.name, s.Parent())
		}
	}
}

func TestTheParentDecidesWhetherACheckIsSampled(t *testing.T) {
	t.Parallel()
	traces, spans := recorded(t)
	r := authz.Request{Received: time.Unix(1000, 0), Headers: []authz.Header{{Name: "traceparent", Value: sampled}}}
	for name, test := range map[string]struct {
		traceparent string
		want        int
	}{
		"a sampled parent":             {sampled, 1},
		"a parent that is not sampled": {unsampled, 0},
		"no parent":                    {"", 1}, // the default sampler takes every root
		"a parent that cannot be read": {sampled[1:], 1},
		"only the client has a parent": {"", 1},
	} {
		before := len(spans.Ended())
		ctx := traces.Begin(call(t, test.traceparent), &r)
		traces.End(ctx, &r, &authz.Decision{}, 0)
		ended := spans.Ended()[before:]
		if len(ended) != test.want {
			t.Errorf("%s: %d spans, want %d", name, len(ended), test.want)
		}
		if test.traceparent != sampled && len(ended) == 1 && ended[0].Parent().IsValid() {
			t.Errorf("%s: the parent is %v, which the client may choose", name, ended[0].Parent())
		}
	}
}

func TestAReadHasASpanBelowTheCheckThatBeganIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err     error
		outcome string
		status  codes.Code
		cached  string
	}{
		"found":       {nil, "found", codes.Unset, "hit"},
		"not found":   {authz.ErrNotFound, "not_found", codes.Unset, "absent_hit"},
		"malformed":   {authz.ErrMalformed, "malformed", codes.Unset, "absent_hit"},
		"unavailable": {errors.Join(authz.ErrUnavailable, errors.New(secret)), "unavailable", codes.Error, "miss"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			traces, spans := recorded(t)
			read := traces.Read("main", func(context.Context, string) (authz.Credential, error) { return authz.Credential{}, test.err })
			c, err := cache.New(cache.DefaultConfig(), read, traces.Rules(cache.Rules[authz.Credential]{
				Lifetime:    func(authz.Credential) time.Duration { return 0 },
				Absent:      func(err error) bool { return errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) },
				Unavailable: func(err error) bool { return errors.Is(err, authz.ErrUnavailable) },
				Limited:     func(error) bool { return false },
			}))
			if err != nil {
				t.Fatal(err)
			}
			r := authz.Request{Received: time.Now()}
			lookup := func(traceparent string) {
				ctx := traces.Begin(call(t, traceparent), &r)
				_, result, _ := c.LookupResult(ctx, access)
				traces.End(ctx, &r, &authz.Decision{Lookup: result.String()}, 0)
			}
			lookup(sampled)
			lookup(sampled)
			lookup(unsampled)
			c.Close()
			var reads, checks []sdktrace.ReadOnlySpan
			for _, s := range spans.Ended() {
				if s.Name() == readSpan {
					reads = append(reads, s)
				} else {
					checks = append(checks, s)
				}
				if strings.Contains(s.Status().Description, secret) {
					t.Errorf("status %+v", s.Status())
				}
			}
			if len(checks) != 2 || len(reads) == 0 {
				t.Fatalf("%d checks and %d reads", len(checks), len(reads))
			}
			if first, second := attributes(checks[0])["cache"], attributes(checks[1])["cache"]; first != "miss" || second != test.cached {
				t.Errorf("the cache had a %s and a %s, want a miss and a %s", first, second, test.cached)
			}
			if got := reads[0]; got.Parent().SpanID() != checks[0].SpanContext().SpanID() || got.Status().Code != test.status {
				t.Errorf("the read is below %s with %+v", got.Parent().SpanID(), got.Status())
			}
			if diff := cmp.Diff(map[string]string{"vault": "main", "outcome": test.outcome}, attributes(reads[0])); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

// A failing exporter fails as long as it is asked.
type failing struct{ hang bool }

// ExportSpans implements [sdktrace.SpanExporter].
func (f failing) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	if f.hang {
		<-ctx.Done()
	}
	return errors.New("no collector, " + strings.Repeat("x", 1000))
}

// Shutdown implements [sdktrace.SpanExporter].
func (failing) Shutdown(context.Context) error { return nil }

func TestACollectorThatFailsIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.DebugLevel)
		traces := newTraces(t.Context(), failing{}, zap.New(core))
		for range 150 {
			r := authz.Request{Received: time.Now()}
			traces.End(traces.Begin(call(t, sampled), &r), &r, &authz.Decision{}, 0)
			time.Sleep(time.Second)
		}
		traces.Shutdown(t.Context(), time.Second)
		synctest.Wait()
		if n := logged.Len(); n < 2 || n > 3 {
			t.Errorf("%d lines in 150 s", n)
		}
		if text, _ := logged.All()[0].ContextMap()["error"].(string); len(text) > maxProblem {
			t.Errorf("an error of %d bytes", len(text))
		}
	})
}

func TestAShutdownTakesNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		traces := newTraces(t.Context(), failing{hang: true}, zap.NewNop())
		r := authz.Request{Received: time.Now()}
		for range 2000 { // several batches
			traces.End(traces.Begin(call(t, sampled), &r), &r, &authz.Decision{}, 0)
		}
		began := time.Now()
		traces.Shutdown(t.Context(), time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s, want 1s", took)
		}
		synctest.Wait() // for the goroutines, which must end by themselves
	})
}

func TestSpansAreExportedByHTTPAtTheLatestAtTheShutdown(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, r.URL.Path+" "+string(body))
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=staging")
	traces, err := New(t.Context(), "1.2.3", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	r := authz.Request{Received: time.Now()}
	traces.End(traces.Begin(call(t, sampled), &r), &r, &authz.Decision{}, 0)
	traces.Shutdown(t.Context(), 10*time.Second)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", checkSpan, "vault-authz", "1.2.3", "staging"} {
		if len(bodies) != 1 || !strings.Contains(bodies[0], want) {
			t.Errorf("%q is not exported: %q", want, bodies)
		}
	}
}
