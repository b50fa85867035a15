package admin

import (
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// lastUses returns a function that adds to the view of a credential when it was last used. many
// says that it is called for more than one. If that cannot be told, a warning says so, and the
// rest of the answer is as good as ever.
func (a *API) lastUses(c *call, many bool) func(*credential.Place, schema.Document) schema.Document {
	uses, warned := a.deps.LastUsed, false
	last := func(accessToken string) (at, since time.Time, err error) { return uses.Last(c.ctx, accessToken) }
	switch {
	case uses == nil:
		last = func(string) (at, since time.Time, err error) { return at, since, nil }
	case many:
		all, err := uses.All(c.ctx)
		last = func(accessToken string) (at, since time.Time, _ error) {
			if err == nil {
				at, since = all(accessToken)
			}
			return at, since, err
		}
	}
	return func(p *credential.Place, view schema.Document) schema.Document {
		at, since, err := last(p.Key)
		if err != nil && !warned {
			a.warnOfLastUses(c, err)
			warned = true
		}
		// A use before that was of a credential that is deleted.
		if created, known := view["created_at"].(int64); known && at.Before(time.Unix(created, 0).Truncate(time.Minute)) {
			at = time.Time{}
		}
		return view.With("last_used_at", momentOf(at)).With("uses_known_since", momentOf(since))
	}
}

func (a *API) warnOfLastUses(c *call, err error) {
	a.deps.Log.Warn("the last uses of credentials cannot be read", zap.Error(err))
	cause := ""
	if a.deps.Explain != nil {
		if cause = a.deps.Explain(err); cause != "" {
			cause = ": " + cause
		}
	}
	c.warn("when credentials were last used cannot be told" + cause)
}

func momentOf(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}
