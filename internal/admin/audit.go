package admin

import (
	"context"
	"net/http"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// An Auditor keeps the audit log. It is safe for concurrent use.
type Auditor interface {
	// Write writes a line and waits until it is written, for a few seconds. Its error means
	// that the line is not there, or may be cut off.
	Write(ctx context.Context, level zapcore.Level, message string, fields ...zap.Field) error
}

// The outcomes of a change. Each change has a line that says what is intended before
// anything is done, and then one of the others. Where that is missing, the process ended
// in between or could not write it: whether the change was made is not known.
const (
	outcomeIntended = "intended"
	outcomeDone     = "done"
	// outcomeNotMade: it is proved that nothing was written.
	outcomeNotMade = "not_made"
	// outcomeUnknown: it may have been written, and counts as if it had been.
	outcomeUnknown = "unknown"
)

// An entry says what a change does.
type entry struct {
	action, entity, id string
	// vault is set for credentials.
	vault string
	// before and after are as answers show them: without secrets.
	before, after schema.Document
}

// A trail is the lines of one change.
type trail struct {
	api *API
	c   *call
	// fields are those that all of them have.
	fields []zap.Field
}

// The headers of a call that its lines can be found by.
const (
	headerRequestID   = "X-Request-Id"
	headerTraceParent = "Traceparent"
)

// The most of what a caller's headers give to a line, in bytes.
const maxLogged = 256

// intend writes the line of what a change is about to do. Its error refuses the change. Of
// the path there is only the pattern: an access token may stand in it.
func (a *API) intend(c *call, e entry) (*trail, error) {
	t := &trail{api: a, c: c, fields: []zap.Field{
		zap.String("change_id", newUUID()),
		zap.String("who", c.caller.Name),
		zap.String("authenticated_by", c.caller.By),
		zap.String("role", string(c.caller.Role)),
		zap.String("from", c.r.RemoteAddr),
		zap.String("route", c.route.method+" "+c.route.pattern),
		zap.String("action", e.action),
		zap.String("entity", e.entity),
		zap.String("id", e.id),
	}}
	if id := c.r.Header.Get(headerRequestID); id != "" {
		t.fields = append(t.fields, zap.String("request_id", strings.ToValidUTF8(id[:min(len(id), maxLogged)], "")))
	}
	if trace, _ := authz.TraceID(c.r.Header.Get(headerTraceParent)); trace != "" {
		t.fields = append(t.fields, zap.String("trace_id", trace))
	}
	if e.vault != "" {
		t.fields = append(t.fields, zap.String("vault", e.vault))
	}
	if e.before != nil {
		t.fields = append(t.fields, zap.Any("before", e.before))
	}
	if e.after != nil {
		t.fields = append(t.fields, zap.Any("after", e.after))
	}
	if err := t.write(c.ctx, outcomeIntended); err != nil {
		if a.deps.AuditFailure != AuditFailureWarn {
			return nil, &api.Problem{
				Status:  http.StatusServiceUnavailable,
				Message: "Nothing was changed: the audit log cannot be written (" + err.Error() + "); see to it, or set log.audit.on_failure to warn, and repeat the call",
			}
		}
		c.warn("the audit log cannot be written, so this change may not be in it")
	}
	return t, nil
}

// end writes the line of how the change came out.
func (t *trail) end(outcome string) {
	// Also where the time of the call is over.
	if err := t.write(context.WithoutCancel(t.c.ctx), outcome); err != nil {
		t.c.warn("the audit log cannot be written, so how this change came out is not in it")
	}
}

func (t *trail) write(ctx context.Context, outcome string) error {
	level := zapcore.InfoLevel
	switch outcome {
	case outcomeNotMade:
		level = zapcore.WarnLevel
	case outcomeUnknown:
		level = zapcore.ErrorLevel
	}
	fields := append(t.fields[:len(t.fields):len(t.fields)], zap.String("outcome", outcome))
	err := t.api.deps.Audit.Write(ctx, level, "change", fields...)
	if err != nil {
		t.api.deps.Log.Error("the audit log cannot be written", append(fields, zap.Error(err))...)
	}
	return err
}
