package admin

import (
	"time"

	"go.uber.org/zap"
)

// lastUses returns a function that adds to the view of a credential when it was last used. many
// says that it is called for more than one. If that cannot be told, a warning says so, and the
// rest of the answer is as good as ever.
func (a *API) lastUses(c *call, many bool) func(*place, document) document {
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
	return func(p *place, view document) document {
		at, since, err := last(p.key)
		if err != nil && !warned {
			a.warnOfLastUses(c, err)
			warned = true
		}
		// A use before that was of a credential that is deleted.
		if created, known := view["created_at"].(int64); known && at.Before(time.Unix(created, 0).Truncate(time.Minute)) {
			at = time.Time{}
		}
		return view.with("last_used_at", momentOf(at)).with("uses_known_since", momentOf(since))
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
