package authz

import "time"

// A Credential is one token pair as the store has it, but with keyed digests in place of
// its secrets. It is immutable. The zero Credential never authenticates a request.
type Credential struct {
	// AccessToken names the credential and is the key it is stored under. It
	// identifies; it does not authenticate.
	AccessToken string
	// Secret is the digest of the secret token.
	Secret Secret
	// Previous is the digest of the secret that was replaced; it is accepted
	// until PreviousExpiresAt, so that clients can change over without an
	// outage. With a zero PreviousExpiresAt it is never accepted.
	Previous          Secret
	PreviousExpiresAt time.Time
	// ConsumerID is the UUID of the consumer.
	ConsumerID string
	// TTL is how long the record may be used before it is read again, or zero if the
	// record has none. As in Kong the record does not expire then: it is good for as
	// long as the store returns it.
	TTL time.Duration
	// NotBefore and ExpiresAt are hard limits on use. The zero time is no limit.
	NotBefore, ExpiresAt time.Time
	// Disabled turns the credential off without deleting it.
	Disabled bool
	// Usage, if it is not nil, is told when the credential has authenticated a request.
	Usage Usage
}

// A Usage records when a credential is used. It is safe for concurrent use, and quick.
type Usage interface {
	// Used is told the time of the request, and whether the request had the secret that was
	// replaced.
	Used(at time.Time, replaced bool)
}

// unusable returns the reason why the credential must not be used at the time now, or
// ReasonUnset if it may be used.
func (c *Credential) unusable(now time.Time) Reason {
	switch {
	case c.Disabled:
		return ReasonDisabled
	case now.Before(c.NotBefore):
		return ReasonNotYetValid
	case !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt):
		return ReasonExpired
	}
	return ReasonUnset
}

// acceptsPrevious says whether the replaced secret is still good at now.
func (c *Credential) acceptsPrevious(now time.Time) bool {
	return now.Before(c.PreviousExpiresAt)
}
