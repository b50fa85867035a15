package authz

import (
	"cmp"
	"time"
)

// A Forecast tells the outcome of requests with the credentials of one vault object, as
// [Authorizer.Check] would decide with the snapshot that was in use when the Forecast was
// made. It is safe for concurrent use.
type Forecast struct {
	snapshot *Snapshot
	policies []*policy
}

// An Outcome is what becomes of requests with a credential and its secret.
type Outcome struct {
	// Reason is [ReasonAuthenticated] if a policy allows the requests, else why all
	// policies deny them.
	Reason Reason
	// RefusedBy are the names of the policies whose acl refuses the requests, in order,
	// if other policies allow them.
	RefusedBy []string
	// Mistake is what is wrong with the record, for [ReasonMalformedRecord] and if whoever
	// decoded it says so. It names a field and contains no part of a value.
	Mistake string
}

// Forecast returns the forecast for a vault object.
func (a *Authorizer) Forecast(vault string) *Forecast {
	f := &Forecast{snapshot: a.snapshot.Load()}
	if f.snapshot == nil {
		return f
	}
	for _, p := range f.snapshot.policies {
		if p.Vault == vault {
			f.policies = append(f.policies, p)
		}
	}
	return f
}

// Of returns the outcome of a credential. err is what a [Source] returned with it.
func (f *Forecast) Of(c *Credential, err error, now time.Time) Outcome {
	if f.snapshot == nil {
		return Outcome{Reason: ReasonUnavailable}
	}
	if reason := cmp.Or(reasonOf(err), c.unusable(now)); reason != ReasonUnset {
		return Outcome{Reason: reason}
	}
	who, err := f.snapshot.consumers.peek(c.ConsumerID)
	if err != nil {
		return Outcome{Reason: ReasonUnknownConsumer}
	}
	return f.admission(&who)
}

// admission is the outcome of an authenticated consumer.
func (f *Forecast) admission(who *Consumer) Outcome {
	s := Outcome{Reason: ReasonNoPolicy}
	for _, p := range f.policies {
		if _, ok := p.admits(who, false); ok || p.Shadow {
			s.Reason = ReasonAuthenticated
			continue
		}
		s.RefusedBy = append(s.RefusedBy, p.Name)
	}
	if len(f.policies) > 0 && len(s.RefusedBy) == len(f.policies) {
		return Outcome{Reason: ReasonACL}
	}
	return s
}
