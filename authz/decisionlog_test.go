package authz

import (
	"errors"
	"strings"
	"testing"
	"time"

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
			NewDecisionLog(zap.New(core), 1).Write(r, &d, 1500*time.Nanosecond)
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

func TestAllowsAreSampledAndDenialsBounded(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.InfoLevel)
	l := NewDecisionLog(zap.New(core), 10)
	r := get("/")
	for range 100 {
		l.Write(r, &Decision{Allowed: true, Reason: ReasonAuthenticated}, 0)
	}
	if got := lines.Len(); got != 10 {
		t.Errorf("of 100 allows: got %d lines, want 10", got)
	}
	lines.TakeAll()
	for range 1000 {
		l.Write(r, &Decision{Reason: ReasonUnknownToken, Err: errors.New("x")}, 0)
	}
	if got := lines.Len(); got < maxDenialLines || got > 2*maxDenialLines {
		t.Errorf("of 1000 denials at once: got %d lines, want about %d", got, maxDenialLines)
	}
	lines.TakeAll()
	l.Write(r, &Decision{Reason: ReasonUnavailable}, 0)
	if got := lines.Len(); got != 1 {
		t.Errorf("a failure of ours after a flood of denials: got %d lines, want 1", got)
	}
	lines.TakeAll()
	NewDecisionLog(zap.New(core), 0).Write(r, &Decision{Allowed: true, Reason: ReasonAuthenticated}, 0)
	if lines.Len() != 0 {
		t.Error("an allow is logged although the sample is 0")
	}
}
