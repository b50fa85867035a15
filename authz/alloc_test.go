package authz

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// recorded is a Source that answers as a cache does on a hit.
type recorded map[string]Credential

func (s recorded) Lookup(_ context.Context, accessToken string) (Credential, error) {
	c, ok := s[accessToken]
	if !ok {
		return Credential{}, ErrNotFound
	}
	return c, nil
}

// Recheck answers as a cache does that has read it anew a moment ago.
func (s recorded) Recheck(context.Context, string, time.Time) (c Credential, news bool, err error) {
	return Credential{}, false, nil
}

// A pathway is one way through a decision that is taken often.
type pathway struct {
	name    string
	request *Request
	change  func(*Policy)
	want    Reason
}

func pathways() []pathway {
	return []pathway{
		{name: "hit", request: browser(good()), want: ReasonAuthenticated},
		{name: "hit_in_query", request: browser(get("/orders/7?access_token=foo&page=2&secret_token=supersecretvalue")), want: ReasonAuthenticated},
		{name: "absent", request: browser(get("/orders/7?page=2", "access_token", "bar", "secret_token", "supersecretvalue")), want: ReasonUnknownToken},
		{name: "wrong_secret", request: browser(get("/orders/7?page=2", "access_token", "foo", "secret_token", "x")), want: ReasonWrongSecret},
		{name: "missing", request: browser(get("/orders/7?page=2")), want: ReasonMissingToken},
		{name: "acl_denied", request: browser(good()), change: func(p *Policy) { p.Allow = []string{"silver"} }, want: ReasonACL},
		{name: "anonymous", request: browser(get("/")), change: func(p *Policy) { p.Anonymous = "visitor" }, want: ReasonAnonymous},
		{name: "preflight", request: browser(preflight()), change: func(p *Policy) { p.RunOnPreflight = false }, want: ReasonPreflight},
		{name: "shadow", request: browser(good()), change: func(p *Policy) { p.Shadow = true }, want: ReasonAuthenticated},
	}
}

// browser adds the headers that a browser's request has through Envoy.
func browser(r *Request) *Request {
	for _, name := range []string{
		"accept", "accept-encoding", "accept-language", "authorization", "cache-control", "content-length", "content-type", "cookie", "dnt",
		"referer", "sec-fetch-dest", "sec-fetch-mode", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-b3-traceid", "x-b3-sampled",
	} {
		r.Headers = append(r.Headers, Header{name, "0123456789abcdef0123456789abcdef"})
	}
	r.Received = time.Now()
	return r
}

// authorizer decides by the policy of the pathway, the last of so many: the
// others select other hosts, or other paths of the same one.
func (w *pathway) authorizer(tb testing.TB, policies int) *Authorizer {
	tb.Helper()
	digester := NewDigester()
	source := recorded{"foo": {AccessToken: "foo", Secret: digester.Digest("kong-auth", "foo", "supersecretvalue"), ConsumerID: aliceID}}
	s, err := NewSnapshot(manyPolicies(policies, w.change), testConsumers(), map[string]Source{"kong-auth": source})
	if err != nil {
		tb.Fatal(err)
	}
	return New(s, digester, DefaultGrammar())
}

func (w *pathway) check(tb testing.TB, a *Authorizer, d *Decision) { //nolint:thelper // that would take a quarter of a microsecond
	*d = a.Check(context.Background(), w.request)
	if d.Reason != w.want {
		tb.Fatalf("got %s (%v), want %s", d.Reason, d.Err, w.want)
	}
}

func TestAllocNothingToDecideToCountAndToLeaveOutOfTheLog(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	metrics, lines := newMetrics(t, prometheus.NewRegistry(), nil), NewDecisionLog(zap.NewNop(), 1000, ofHeader)
	for _, w := range pathways() {
		w.request.Headers = append(w.request.Headers, Header{"traceparent", someTraceparent})
		for _, policies := range []int{1, 10, 1000} {
			a := w.authorizer(t, policies)
			d := new(Decision)
			got := testing.AllocsPerRun(200, func() {
				w.check(t, a, d)
				metrics.Count(t.Context(), w.request, d, time.Microsecond)
				lines.Write(t.Context(), w.request, d, time.Microsecond)
			})
			if got != 0 {
				t.Errorf("%s with %d policies: %g allocations, want 0", w.name, policies, got)
			}
		}
	}
}

func TestAllocOnceForALineOfTheLog(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zapcore.InfoLevel)
	lines := NewDecisionLog(zap.New(core), 1, ofHeader)
	for _, w := range pathways()[:2] {
		a, d := w.authorizer(t, 1), new(Decision)
		w.check(t, a, d)
		if got := testing.AllocsPerRun(100, func() { lines.Write(t.Context(), w.request, d, time.Microsecond) }); got > 1 {
			t.Errorf("%s: %g allocations for a line, want 1", w.name, got)
		}
	}
}
