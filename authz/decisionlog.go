package authz

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"
)

// The fields of a decision line. They are all that is ever logged of a request:
// no header, no query, no body, and of the access token only a [Fingerprint].
const (
	fieldDecision   = "decision"
	fieldReason     = "reason"
	fieldStatus     = "status"
	fieldPolicy     = "policy"
	fieldRoute      = "route_policy"
	fieldVault      = "vault"
	fieldShadow     = "shadow"
	fieldAnonymous  = "anonymous"
	fieldInsteadOf  = "instead_of"
	fieldConsumer   = "consumer"
	fieldUsername   = "username"
	fieldCredential = "credential"
	fieldMethod     = "method"
	fieldHost       = "host"
	fieldPath       = "path"
	fieldSource     = "source"
	fieldRequestID  = "request_id"
	fieldAnswerID   = "answer_id"
	fieldTraceID    = "trace_id"
	fieldDuration   = "duration_us"
	fieldError      = "error"
	fieldSuppressed = "suppressed"
)

// requestIDHeader is the header by which gateways and clients name a request.
const requestIDHeader = "x-request-id"

// maxLogged bounds every value of a line that the client has a hand in.
const maxLogged = 256

// maxDenialLines is how many denials are logged each second: a flood of bad
// requests must not become a flood of lines.
const maxDenialLines = 100

// A DecisionLog writes one line per decision, at a level that says how it came out: info
// for an allow, warn for a denial, error for one that is due to us. It is safe for concurrent use.
type DecisionLog struct {
	log         *zap.Logger
	traceOf     TraceOf
	allowSample uint64
	allowed     atomic.Uint64
	denials     *rate.Limiter
	// failures are bounded apart, so that a flood of bad requests does not
	// hide that something is wrong with us.
	failures   *rate.Limiter
	suppressed atomic.Uint64
}

// NewDecisionLog returns a log that writes one of allowSample allowed decisions
// (0 for none) and every other decision, up to a bound a second; the next line
// then says how many were left out. traceOf may be nil.
func NewDecisionLog(log *zap.Logger, allowSample int, traceOf TraceOf) *DecisionLog {
	return &DecisionLog{
		log:         log,
		traceOf:     traceOf,
		allowSample: uint64(max(allowSample, 0)),
		denials:     rate.NewLimiter(maxDenialLines, maxDenialLines),
		failures:    rate.NewLimiter(maxDenialLines, maxDenialLines),
	}
}

// Write logs one decision, if it is its turn. ctx is that of the check.
func (l *DecisionLog) Write(ctx context.Context, r *Request, d *Decision, took time.Duration) {
	if !l.due(r, d, took) {
		return
	}
	entry := l.log.Check(level(d), "decision")
	if entry == nil {
		return
	}
	// All of it in one allocation. It is not used again: a core may keep it.
	n := &line{request: r, decision: d, took: took, suppressed: l.suppressed.Swap(0)}
	n.trace, _ = l.traceOf.of(ctx, r)
	n.fields[0] = zap.Inline(n)
	entry.Write(n.fields[:]...)
}

func (l *DecisionLog) due(r *Request, d *Decision, took time.Duration) bool {
	if !d.denied() {
		return l.allowSample > 0 && l.allowed.Add(1)%l.allowSample == 0
	}
	limit := l.denials
	if d.Reason.isOurs() {
		limit = l.failures
	}
	if limit.AllowN(r.received().Add(took), 1) {
		return true
	}
	l.suppressed.Add(1)
	return false
}

// level is info for a request that gets through, warn for one that the policy denies or,
// on a shadow policy, would, and error for one that we could not decide about.
func level(d *Decision) zapcore.Level {
	switch {
	case d.Reason.isOurs():
		return zapcore.ErrorLevel
	case d.denied():
		return zapcore.WarnLevel
	}
	return zapcore.InfoLevel
}

// line is one decision on its way into the log.
type line struct {
	request     *Request
	decision    *Decision
	took        time.Duration
	suppressed  uint64
	trace       string
	fields      [1]zap.Field
	fingerprint [fingerprintLength]byte
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	r, d := l.request, l.decision
	enc.AddString(fieldDecision, d.Verdict())
	enc.AddString(fieldReason, d.Reason.String())
	if !d.Allowed {
		enc.AddInt(fieldStatus, d.Status())
	}
	if d.Policy != nil {
		enc.AddString(fieldPolicy, d.Policy.Name)
		enc.AddString(fieldVault, d.Policy.Vault)
	} else if r.PolicyName != "" {
		enc.AddString(fieldRoute, clip(r.PolicyName))
	}
	if d.Shadow {
		enc.AddBool(fieldShadow, true)
	}
	if d.Anonymous {
		enc.AddBool(fieldAnonymous, true)
		enc.AddString(fieldInsteadOf, d.InsteadOf.String())
	}
	if d.Consumer != nil {
		enc.AddString(fieldConsumer, d.Consumer.ID)
		enc.AddString(fieldUsername, d.Consumer.Username)
	}
	if d.AccessToken != "" {
		enc.AddByteString(fieldCredential, AppendFingerprint(l.fingerprint[:0], d.AccessToken))
	}
	path, _ := splitTarget(r.Path)
	enc.AddString(fieldMethod, clip(r.Method))
	enc.AddString(fieldHost, clip(r.Host))
	enc.AddString(fieldPath, clip(path))
	enc.AddString(fieldSource, clip(r.Source))
	if id := r.Header(requestIDHeader); id != "" {
		enc.AddString(fieldRequestID, clip(id))
	}
	if d.RequestID != ([32]byte{}) {
		if id, same := RequestID(r.Header(requestIDHeader)); !same || id != d.RequestID {
			enc.AddByteString(fieldAnswerID, d.RequestID[:])
		}
	}
	if l.trace != "" {
		enc.AddString(fieldTraceID, l.trace)
	}
	enc.AddInt64(fieldDuration, l.took.Microseconds())
	if d.Err != nil {
		enc.AddString(fieldError, d.Err.Error())
	}
	if l.suppressed > 0 {
		enc.AddUint64(fieldSuppressed, l.suppressed)
	}
	return nil
}

// Verdict returns "allow" or "deny".
func (d *Decision) Verdict() string { return verdict(d.Allowed) }

func verdict(allowed bool) string {
	if allowed {
		return "allow"
	}
	return "deny"
}

// Fingerprint returns the first 8 hexadecimal digits of the SHA-256 of an
// access token: enough to find its lines in a log, too little to be of use to
// a reader of the log. `printf %s TOKEN | sha256sum | cut -c1-8` gives the same.
func Fingerprint(accessToken string) string { return string(AppendFingerprint(nil, accessToken)) }

// AppendFingerprint appends the [Fingerprint] of an access token to b.
func AppendFingerprint(b []byte, accessToken string) []byte {
	sum := sha256.Sum256([]byte(accessToken))
	return hex.AppendEncode(b, sum[:fingerprintLength/2])
}

const fingerprintLength = 8

// IsFingerprint says whether s has the form of a [Fingerprint].
func IsFingerprint(s string) bool { return len(s) == fingerprintLength && isLowerHex(s) }

func clip(s string) string {
	if len(s) > maxLogged {
		s = strings.ToValidUTF8(s[:maxLogged], "") + "…"
	}
	return s
}
