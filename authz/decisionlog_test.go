package authz

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestDecisionLineHasAFixedSetOfFieldsAndNoToken(t *testing.T) {
	t.Parallel()
	requests := map[string]*Request{
		"allowed":   good(),
		"denied":    get("/orders?access_token=foo&secret_token=wrongsecretvalue&q=private", "cookie", "c", "x-request-id", "r-1"),
		"anonymous": get("/"),
	}
	for name, r := range requests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(p *Policy) {
				if name == "anonymous" {
					p.Anonymous = "visitor"
				}
			})
			d := b.Check(t.Context(), r)
			core, lines := observer.New(zapcore.InfoLevel)
			NewDecisionLog(zap.New(core), 1, nil).Write(t.Context(), r, &d, 1500*time.Nanosecond)
			if lines.Len() != 1 {
				t.Fatalf("got %d lines, want 1", lines.Len())
			}
			entry := lines.All()[0]
			known := map[string]bool{}
			for _, f := range []string{
				fieldDecision, fieldReason, fieldStatus, fieldPolicy, fieldVault, fieldShadow, fieldAnonymous, fieldInsteadOf, fieldConsumer,
				fieldUsername, fieldCredential, fieldMethod, fieldHost, fieldPath, fieldSource, fieldRequestID, fieldDuration, fieldError,
			} {
				known[f] = true
			}
			enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{})
			buf, err := enc.EncodeEntry(entry.Entry, entry.Context)
			if err != nil {
				t.Fatal(err)
			}
			for field := range entry.ContextMap() {
				if !known[field] {
					t.Errorf("field %q is not in the list", field)
				}
			}
			for _, never := range []string{"supersecretvalue", "wrongsecretvalue", `"foo"`, "access_token", "private", "cookie"} {
				if strings.Contains(buf.String(), never) {
					t.Errorf("%s is in the line: %s", never, buf)
				}
			}
			if name != "anonymous" && entry.ContextMap()[fieldCredential] != Fingerprint("foo") {
				t.Errorf("credential: got %v", entry.ContextMap()[fieldCredential])
			}
		})
	}
}

// TestALineIsFoundByTheIDThatTheClientWasTold: not every gateway gives a request an
// x-request-id, and a client may choose one of another form.
func TestALineIsFoundByTheIDThatTheClientWasTold(t *testing.T) {
	t.Parallel()
	const told = "9beb9db794820928ab425992fd5d01b0"
	for _, tt := range []struct {
		name, sent string
		id, answer any
	}{
		{name: "the request has the id", sent: "9BEB9DB7-9482-0928-ab42-5992fd5d01b0", id: "9BEB9DB7-9482-0928-ab42-5992fd5d01b0"},
		{name: "the request has none", answer: told},
		{name: "the request has one of another form", sent: "r-1", id: "r-1", answer: told},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := get("/")
			if tt.sent != "" {
				r = get("/", "x-request-id", tt.sent)
			}
			core, lines := observer.New(zapcore.InfoLevel)
			d := Decision{Reason: ReasonUnknownToken, RequestID: [32]byte([]byte(told))}
			NewDecisionLog(zap.New(core), 1, nil).Write(t.Context(), r, &d, 0)
			got := lines.All()[0].ContextMap()
			if got[fieldRequestID] != tt.id || got[fieldAnswerID] != tt.answer {
				t.Errorf("request_id %v, answer_id %v, want %v and %v", got[fieldRequestID], got[fieldAnswerID], tt.id, tt.answer)
			}
		})
	}
}

func TestALineNamesThePolicyOfTheRouteIfItDoesNotExist(t *testing.T) {
	t.Parallel()
	r := get("/")
	r.PolicyName = "gone"
	for want, d := range map[string]Decision{"gone": {Reason: ReasonNoPolicy}, "": {Reason: ReasonUnknownToken, Policy: &Policy{Name: "orders"}}} {
		core, lines := observer.New(zapcore.InfoLevel)
		NewDecisionLog(zap.New(core), 1, nil).Write(t.Context(), r, &d, 0)
		if got, _ := lines.All()[0].ContextMap()[fieldRoute].(string); got != want {
			t.Errorf("%s: route_policy %q, want %q", d.Reason, got, want)
		}
	}
}

func TestAllowsAreSampledAndDenialsBounded(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.InfoLevel)
	l := NewDecisionLog(zap.New(core), 10, nil)
	r := get("/")
	for range 100 {
		l.Write(t.Context(), r, &Decision{Allowed: true, Reason: ReasonAuthenticated}, 0)
	}
	if got := lines.Len(); got != 10 {
		t.Errorf("of 100 allows: got %d lines, want 10", got)
	}
	lines.TakeAll()
	for range 1000 {
		l.Write(t.Context(), r, &Decision{Reason: ReasonUnknownToken, Err: errors.New("x")}, 0)
	}
	if got := lines.Len(); got < maxDenialLines || got > 2*maxDenialLines {
		t.Errorf("of 1000 denials at once: got %d lines, want about %d", got, maxDenialLines)
	}
	lines.TakeAll()
	l.Write(t.Context(), r, &Decision{Reason: ReasonUnavailable}, 0)
	if got := lines.Len(); got != 1 {
		t.Errorf("a failure of ours after a flood of denials: got %d lines, want 1", got)
	}
	lines.TakeAll()
	NewDecisionLog(zap.New(core), 0, nil).Write(t.Context(), r, &Decision{Allowed: true, Reason: ReasonAuthenticated}, 0)
	if lines.Len() != 0 {
		t.Error("an allow is logged although the sample is 0")
	}
}

func TestADecisionLineSaysWhatWasDecided(t *testing.T) {
	t.Parallel()
	p := Policy{Name: "orders", Vault: "main"}
	bob := Consumer{ID: bobID, Username: "bob"}
	of := map[string]any{fieldPolicy: "orders", fieldVault: "main"}
	tests := []struct {
		name     string
		decision Decision
		request  *Request
		want     map[string]any
	}{
		{"allowed", Decision{Allowed: true, Reason: ReasonAuthenticated, Policy: &p, Consumer: &bob, AccessToken: "foo"}, get("/a?b=1"), map[string]any{
			fieldDecision: "allow", fieldReason: "authenticated", fieldConsumer: bobID, fieldUsername: "bob", fieldCredential: Fingerprint("foo"),
		}},
		{"anonymous", Decision{Allowed: true, Reason: ReasonAnonymous, Policy: &p, Anonymous: true, InsteadOf: ReasonWrongSecret, Consumer: &bob}, get("/a"), map[string]any{
			fieldDecision: "allow", fieldReason: "anonymous", fieldAnonymous: true, fieldInsteadOf: "wrong_secret", fieldConsumer: bobID, fieldUsername: "bob",
		}},
		{"let through by a policy that observes", Decision{Allowed: true, Shadow: true, Reason: ReasonACL, Policy: &p}, get("/a"), map[string]any{
			fieldDecision: "allow", fieldReason: "acl", fieldShadow: true,
		}},
		{"denied, with an id", Decision{Reason: ReasonUnavailable, Policy: &p, Err: errors.New("sealed")}, get("/a", "x-request-id", "r-1"), map[string]any{
			fieldDecision: "deny", fieldReason: "unavailable", fieldStatus: 503, fieldRequestID: "r-1", fieldError: "sealed",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			core, lines := observer.New(zapcore.InfoLevel)
			NewDecisionLog(zap.New(core), 1, nil).Write(t.Context(), test.request, &test.decision, 1500*time.Microsecond)
			for _, always := range []map[string]any{of, {fieldMethod: "GET", fieldHost: "api.example.com", fieldPath: "/a", fieldSource: "", fieldDuration: int64(1500)}} {
				maps.Copy(test.want, always)
			}
			if diff := cmp.Diff(test.want, lines.All()[0].ContextMap()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("without a policy", func(t *testing.T) {
		t.Parallel()
		core, lines := observer.New(zapcore.InfoLevel)
		NewDecisionLog(zap.New(core), 1, nil).Write(t.Context(), get("/"), &Decision{Reason: ReasonNoPolicy}, 0)
		if _, named := lines.All()[0].ContextMap()[fieldPolicy]; named {
			t.Error("a policy is named")
		}
	})
}

func TestAValueOfALineIsClippedBeyondItsLimit(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("a", maxLogged)
	if got := clip(whole); got != whole {
		t.Errorf("%d bytes became %d", maxLogged, len(got))
	}
	if got := clip(whole + "b"); got != whole+"…" {
		t.Errorf("%d bytes became %q", maxLogged+1, got)
	}
	if got := clip(whole[1:] + "é"); got != whole[1:]+"…" {
		t.Errorf("half a character is left in %q", got)
	}
}

func TestWhatAShadowPolicyLetsThroughIsLoggedAsTheDenialThatItIs(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.InfoLevel)
	NewDecisionLog(zap.New(core), 0, nil).Write(t.Context(), get("/"), &Decision{Allowed: true, Shadow: true, Reason: ReasonACL}, 0)
	if lines.Len() != 1 {
		t.Errorf("got %d lines, want 1", lines.Len())
	}
}

func TestNoFaultOfOursIsLostInAFloodOfDenials(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		if r.Status() < 500 {
			continue
		}
		core, lines := observer.New(zapcore.InfoLevel)
		l := NewDecisionLog(zap.New(core), 0, nil)
		for range 10 * maxDenialLines {
			l.Write(t.Context(), get("/"), &Decision{Reason: ReasonUnknownToken}, 0)
		}
		lines.TakeAll()
		if l.Write(t.Context(), get("/"), &Decision{Reason: r}, 0); lines.Len() != 1 {
			t.Errorf("%s: got %d lines, want 1", r, lines.Len())
		}
	}
}
