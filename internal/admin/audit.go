package admin

import (
	"go.uber.org/zap"
)

// An entry says what a change does.
type entry struct {
	action, entity, id string
	// vault is set for credentials.
	vault string
	// before and after are as answers show them: without secrets.
	before, after document
}

// audit writes the line of a change. Of the path there is only the pattern: an
// access token may stand in it.
func (a *API) audit(c *call, e entry, outcome string) {
	fields := []zap.Field{
		zap.String("who", c.caller.name),
		zap.String("authenticated_by", c.caller.by),
		zap.String("role", string(c.caller.role)),
		zap.String("from", c.r.RemoteAddr),
		zap.String("route", c.route.method+" "+c.route.pattern),
		zap.String("action", e.action),
		zap.String("entity", e.entity),
		zap.String("id", e.id),
		zap.String("outcome", outcome),
	}
	if e.vault != "" {
		fields = append(fields, zap.String("vault", e.vault))
	}
	if e.before != nil {
		fields = append(fields, zap.Any("before", e.before))
	}
	if e.after != nil {
		fields = append(fields, zap.Any("after", e.after))
	}
	a.deps.Audit.Info("change", fields...)
}
