package admin

import (
	"time"

	"go.uber.org/zap"
)

// lastUses returns a function that adds to the view of a credential when it was last used. many
// says that it is called for more than one. If that cannot be told, a warning says so, and the
// rest of the answer is as good as ever.
func (a *API) lastUses(c *call, many bool) func(*place, document) document {
	last := func(accessToken string) (at, since time.Time) {
		if a.deps.LastUsed == nil {
			return time.Time{}, time.Time{}
		}
		at, since, err := a.deps.LastUsed.Last(c.ctx, accessToken)
		a.warnOfLastUses(c, err)
		return at, since
	}
	if many && a.deps.LastUsed != nil {
		all, err := a.deps.LastUsed.All(c.ctx)
		if a.warnOfLastUses(c, err); err != nil {
			all = func(string) (at, since time.Time) { return time.Time{}, time.Time{} }
		}
		last = all
	}
	return func(p *place, view document) document {
		at, since := last(p.key)
		return view.with("last_used_at", momentOf(at)).with("uses_known_since", momentOf(since))
	}
}

func (a *API) warnOfLastUses(c *call, err error) {
	if err == nil {
		return
	}
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
