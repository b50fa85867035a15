package authz

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// A Forecast says of the credentials of one vault object what [Authorizer.Check] would say
// of requests with them, by what decisions are based on at the time it was made. It is
// safe for concurrent use.
type Forecast struct {
	snapshot *Snapshot
	policies []*policy
}

// A Standing is what becomes of requests with a credential and its secret.
type Standing struct {
	// Reason is [ReasonAuthenticated] where a policy lets it in, else why none does.
	Reason Reason
	// RefusedBy are the names of the policies whose acl refuses it, in order, if others
	// let it in.
	RefusedBy []string
}

// Forecast returns the forecast for a vault object.
func (a *Authorizer) Forecast(vault string) *Forecast {
	f := &Forecast{snapshot: a.snapshot.Load()}
	if f.snapshot == nil {
		return f
	}
	for name, p := range f.snapshot.byName {
		if p.Vault == vault && p.Name == name {
			f.policies = append(f.policies, p)
		}
	}
	slices.SortFunc(f.policies, func(a, b *policy) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// Of returns the standing of a credential. err is what a [Source] returned with it.
func (f *Forecast) Of(c *Credential, err error, now time.Time) Standing {
	switch {
	case f.snapshot == nil:
		return Standing{Reason: ReasonUnavailable}
	case errors.Is(err, ErrNotFound):
		return Standing{Reason: ReasonUnknownToken}
	case errors.Is(err, ErrMalformed):
		return Standing{Reason: ReasonMalformedRecord}
	case err != nil:
		return Standing{Reason: ReasonUnavailable}
	}
	if reason := c.unusable(now); reason != ReasonUnset {
		return Standing{Reason: reason}
	}
	who, err := f.snapshot.consumers.peek(c.ConsumerID)
	if err != nil {
		return Standing{Reason: ReasonUnknownConsumer}
	}
	return f.admission(&who)
}

// admission is the standing of a consumer who has proved to be it.
func (f *Forecast) admission(who *Consumer) Standing {
	s := Standing{Reason: ReasonNoPolicy}
	for _, p := range f.policies {
		if _, ok := p.admits(who, false); ok || p.Shadow {
			s.Reason = ReasonAuthenticated
			continue
		}
		s.RefusedBy = append(s.RefusedBy, p.Name)
	}
	if len(f.policies) > 0 && len(s.RefusedBy) == len(f.policies) {
		return Standing{Reason: ReasonACL}
	}
	return s
}
