package admin

import (
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// views returns a function that shows a credential with its state, and when it was last used.
// many says that it is called for more than one. If the last use cannot be told, a warning says so, and the
// rest of the answer is as good as ever.
func (a *API) views(c *call, many bool) func(*credential.Place, schema.Document) schema.Document {
	state, uses, warned := a.states(), a.deps.LastUsed, false
	last := func(accessToken string) (at, since time.Time, err error) { return uses.Last(c.ctx, accessToken) }
	if many {
		all, err := uses.All(c.ctx)
		last = func(accessToken string) (at, since time.Time, _ error) {
			if err == nil {
				at, since = all(accessToken)
			}
			return at, since, err
		}
	}
	return func(p *credential.Place, d schema.Document) schema.Document {
		view := state(p, d)
		at, since, err := last(p.Key)
		if err != nil && !warned {
			a.warnOfLastUses(c, err)
			warned = true
		}
		// A use before that was of a credential that is deleted.
		if created, known := view["created_at"].(int64); known && at.Before(time.Unix(created, 0).Truncate(time.Minute)) {
			at = time.Time{}
		}
		view["last_used_at"], view["uses_known_since"] = momentOf(at), momentOf(since)
		return view
	}
}

func (a *API) warnOfLastUses(c *call, err error) {
	a.deps.Log.Warn("the last uses of credentials cannot be read", zap.Error(err))
	c.warn("when credentials were last used cannot be told" + prefixed(": ", a.deps.Explain(err)))
}

func momentOf(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}
