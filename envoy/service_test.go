package envoy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// serve serves s in memory and returns a connection to it.
func serve(tb testing.TB, s *Service) *grpc.ClientConn {
	tb.Helper()
	return partstest.ServeInMemory(tb, NewServer(s, 1<<20, prometheus.NewRegistry()))
}

// observed collects the calls of an Observer.
type observed struct {
	calls    atomic.Int64
	decision authz.Decision
	path     string
}

func (o *observed) hear(_ context.Context, r *authz.Request, d *authz.Decision, _ time.Duration) {
	o.calls.Add(1)
	o.decision, o.path = *d, r.Path
}

func TestAnAnswerIsTheSameDirectlyAndOverGRPC(t *testing.T) {
	t.Parallel()
	for name, in := range recorded(t) {
		// The answer contains the id of the request, which is random if there is none.
		if h := in.GetAttributes().GetRequest().GetHttp(); h != nil && h.GetHeaderMap() == nil {
			h.Headers["x-request-id"] = "42fd5d7a-8180-4af0-8596-0d18393bb913"
		}
		for verdict, d := range map[string]authz.Decision{"allow": allowAlice(), "deny": denyFor(authz.ReasonWrongSecret)} {
			if name == "tcp-filter" && verdict == "deny" {
				continue // the request has no headers
			}
			t.Run(name+" "+verdict, func(t *testing.T) {
				t.Parallel()
				s := NewService(always(d), Options{})
				direct, err := s.Answer(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				called, err := authv3.NewAuthorizationClient(serve(t, s)).Check(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(direct, called, protocmp.Transform()); diff != "" {
					t.Errorf("(-direct +over gRPC):\n%s", diff)
				}
			})
		}
	}
}

func TestTheDeciderSeesTheRequestAndTheObserverTheDecisionOnce(t *testing.T) {
	t.Parallel()
	var path, token string
	var heard observed
	s := NewService(deciderFunc(func(_ context.Context, r *authz.Request) authz.Decision {
		path, token = strings.Clone(r.Path), strings.Clone(r.Header("access-token"))
		return allowAlice()
	}), Options{Observer: heard.hear})
	in := httpRequest(&authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/orders", HeaderMap: rawFields("access-token", "a")})
	if _, err := s.Answer(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if path != "/orders" || token != "a" {
		t.Errorf("the decider saw path %q and access token %q", path, token)
	}
	if heard.calls.Load() != 1 || !heard.decision.Allowed || heard.path != "/orders" {
		t.Errorf("the observer was called %d times, last with %+v for %q", heard.calls.Load(), heard.decision, heard.path)
	}
}

func TestWhatIsObservedIsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	var heard observed
	d := allowAlice()
	d.Upstream.Set[1].Value = "alice\nx-admin: true"
	d.Lookup, d.Reread, d.Places = "miss", true, [...]authz.Place{authz.PlaceHeader, authz.PlaceQuery}
	out, err := NewService(always(d), Options{Observer: heard.hear}).Answer(t.Context(), httpRequest(&authv3.AttributeContext_HttpRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	mustDeny(t, wire(t, out), http.StatusInternalServerError)
	if got := heard.decision; got.Allowed || got.Reason != authz.ReasonInternal || got.Err == nil {
		t.Errorf("the observer got %+v, want the denial with its cause", got)
	}
	if got := heard.decision; got.Lookup != d.Lookup || got.Reread != d.Reread || got.Places != d.Places {
		t.Errorf("the observer got %+v, want where the tokens were and how the credential was found", got)
	}
	if err := heard.decision.Err; err != nil && strings.Contains(err.Error(), "admin") {
		t.Errorf("the cause contains the value: %v", err)
	}
}

func TestAPanicDenies(t *testing.T) {
	t.Parallel()
	const token = "hunter2"
	panics := func() { panic(errors.New("no route for secret " + token)) }
	tests := []struct {
		name     string
		decider  Decider
		observer func(context.Context, *authz.Request, *authz.Decision, time.Duration)
	}{
		{name: "in the decision", decider: deciderFunc(func(context.Context, *authz.Request) authz.Decision { panics(); return allowAlice() })},
		{name: "in the observer", decider: always(allowAlice()), observer: func(context.Context, *authz.Request, *authz.Decision, time.Duration) { panics() }},
		{name: "without a decider"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zap.DebugLevel)
			var heard observed
			o := Options{Observer: heard.hear, Log: zap.New(core)}
			if test.observer != nil {
				o.Observer = test.observer
			}
			out, err := NewService(test.decider, o).Answer(t.Context(), httpRequest(&authv3.AttributeContext_HttpRequest{}))
			if err != nil {
				t.Fatalf("got error %v: a failed call is not a denial", err)
			}
			mustDeny(t, wire(t, out), http.StatusInternalServerError)
			if body := out.GetDeniedResponse().GetBody(); !strings.Contains(body, "An unexpected error occurred") {
				t.Errorf("the client gets %q, want a page that says so", body)
			}
			if test.observer == nil && (heard.calls.Load() != 1 || heard.decision.Reason != authz.ReasonInternal) {
				t.Errorf("the observer was called %d times, last with %s", heard.calls.Load(), heard.decision.Reason)
			}
			if logs.Len() != 1 {
				t.Fatalf("got %d log lines, want 1", logs.Len())
			}
			for _, f := range logs.All()[0].Context {
				if strings.Contains(f.String, token) {
					t.Errorf("log field %s contains the panic value", f.Key)
				}
			}
		})
	}
}

// A missing answer would be encoded as an empty one, which allows.
func TestAMissingAnswerIsEncodedAsADenial(t *testing.T) {
	t.Parallel()
	var w writer
	w.bareDenial()
	mustDeny(t, wire(t, decodedAnswer(t, &w)), http.StatusInternalServerError)
	unwritten := (&calls{}).get()
	taken := unwritten.end(unwritten.begin())
	allowed := (&calls{}).get()
	buffer := allowed.begin()
	allowed.answer.status(codes.OK, "")
	twice := allowed.end(buffer)
	twice.take()
	for name, data := range map[string]mem.BufferSlice{
		"a call that nothing was written to": taken.take(),
		"a reply that is taken once more":    twice.take(),
		"a reply that was taken already":     new(reply).take(),
	} {
		var out authv3.CheckResponse
		if err := proto.Unmarshal(data.Materialize(), &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustDeny(t, &out, http.StatusInternalServerError)
	}
	if data, err := proto.Marshal((*authv3.CheckResponse)(nil)); err != nil || len(data) > 0 {
		t.Errorf("got %x, %v: an empty answer is no longer an allow, so bareDenial is no longer necessary", data, err)
	}
}

func TestACanceledCallIsNotAllowed(t *testing.T) {
	t.Parallel()
	allow := allowAlice()
	allow.Lookup, allow.Reread, allow.Places = "miss", true, [...]authz.Place{authz.PlaceHeader, authz.PlaceQuery}
	t.Run("canceled before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out, err := NewService(always(allow), Options{}).Answer(ctx, httpRequest(&authv3.AttributeContext_HttpRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		mustDeny(t, wire(t, out), http.StatusServiceUnavailable)
	})
	t.Run("canceled while deciding", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		var heard observed
		s := NewService(deciderFunc(func(context.Context, *authz.Request) authz.Decision {
			cancel()
			return allow
		}), Options{Observer: heard.hear})
		out, err := s.Answer(ctx, httpRequest(&authv3.AttributeContext_HttpRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		mustDeny(t, wire(t, out), http.StatusServiceUnavailable)
		if heard.decision.Reason != authz.ReasonCanceled {
			t.Errorf("the observer got %s, want canceled", heard.decision.Reason)
		}
		if got := heard.decision; got.Lookup != allow.Lookup || got.Reread != allow.Reread || got.Places != allow.Places {
			t.Errorf("the observer got %+v, want where the tokens were and how the credential was found", got)
		}
	})
	t.Run("but by a policy that only observes", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d := allow
		d.Shadow, d.Reason = true, authz.ReasonCanceled
		out, err := NewService(always(d), Options{}).Answer(ctx, httpRequest(&authv3.AttributeContext_HttpRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if wire(t, out).GetOkResponse() == nil {
			t.Errorf("got %v, want an allow by a shadow policy", out)
		}
	})
	t.Run("a denial stays what it is", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out, err := NewService(always(denyFor(authz.ReasonACL)), Options{}).Answer(ctx, httpRequest(&authv3.AttributeContext_HttpRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		mustDeny(t, wire(t, out), http.StatusForbidden)
	})
}

func TestAFailedCallHappensOnlyWhereThePolicyAsksForIt(t *testing.T) {
	t.Parallel()
	d := denyFor(authz.ReasonUnavailable)
	d.Policy.OnError = authz.OnErrorGRPC
	_, err := authv3.NewAuthorizationClient(serve(t, NewService(always(d), Options{}))).Check(t.Context(), &authv3.CheckRequest{})
	if got := status.Convert(err); got.Code() != codes.Unavailable || got.Message() != "credential store unavailable" {
		t.Errorf("got %v", err)
	}
}

func TestAMessageThatCannotBeReadIsDeniedOverGRPC(t *testing.T) {
	t.Parallel()
	conn := serve(t, NewService(deciderFunc(func(_ context.Context, r *authz.Request) authz.Decision {
		if r.HTTP {
			return allowAlice()
		}
		return authz.Decision{Reason: authz.ReasonNotHTTP}
	}), Options{}))
	in := httpRequest(&authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/", RawBody: make([]byte, 1<<20)})
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), in)
	if err != nil {
		t.Fatalf("got error %v: failure_mode_allow would decide", err)
	}
	mustDeny(t, out, http.StatusForbidden)
}

// A trace begins with the request, also with one that cannot be read, and in spite of a panic.
func TestBeginGivesTheDeciderAndTheObserverAContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, decide := range map[string]func(context.Context) authz.Decision{
		"a decision": func(ctx context.Context) authz.Decision {
			if ctx.Value(key{}) == nil {
				t.Error("the Decider has another context")
			}
			return authz.Decision{}
		},
		"a panic": func(context.Context) authz.Decision { panic("as wanted") },
	} {
		begun, ended := 0, 0
		s := NewService(deciderFunc(func(ctx context.Context, _ *authz.Request) authz.Decision { return decide(ctx) }), Options{
			Begin: func(ctx context.Context, r *authz.Request) context.Context {
				if begun++; r.Received.IsZero() {
					t.Errorf("%s: the request has no time", name)
				}
				return context.WithValue(ctx, key{}, true)
			},
			Observer: func(ctx context.Context, _ *authz.Request, _ *authz.Decision, _ time.Duration) {
				if ended++; ctx.Value(key{}) == nil {
					t.Errorf("%s: the Observer has another context", name)
				}
			},
		})
		if _, err := s.Answer(t.Context(), &authv3.CheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if begun != 1 || ended != 1 {
			t.Errorf("%s: %d were begun and %d ended, want 1 each", name, begun, ended)
		}
	}
}
