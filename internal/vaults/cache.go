package vaults

import (
	"context"
	"errors"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/expiring"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

// rules tells the cache how long a credential lives and what its errors mean. The hard limits
// of credentials are not the cache's: the decision applies them to every request.
func rules() cache.Rules[authz.Credential] {
	return cache.Rules[authz.Credential]{
		Lifetime: func(c authz.Credential) time.Duration { return c.TTL },
		Absent: func(err error) bool {
			return errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed)
		},
		Unavailable: func(err error) bool { return errors.Is(err, authz.ErrUnavailable) },
		Limited: func(err error) bool {
			var problem *vaultkv.Error
			return errors.As(err, &problem) && problem.State == vaultkv.StateLimited
		},
	}
}

// A cachedSource is a cache as the Source of decisions, which says what the cache did.
type cachedSource struct {
	*cache.Cache[authz.Credential]
}

var (
	_ authz.Reporter  = cachedSource{}
	_ authz.Rechecker = cachedSource{}
)

// Report implements [authz.Reporter].
func (s cachedSource) Report(ctx context.Context, accessToken string) (authz.Credential, string, error) {
	c, result, err := s.LookupResult(ctx, accessToken)
	return c, result.String(), err
}

// A watchedCache is a cache whose credentials are watched for their end. What is dropped from it
// is gone or has changed, so its end is not known any more.
type watchedCache struct {
	*cache.Cache[authz.Credential]

	soon *expiring.Watch
}

var _ sweep.Cache = watchedCache{}

// Invalidate drops a credential.
func (c watchedCache) Invalidate(accessToken string) {
	c.Cache.Invalidate(accessToken)
	c.soon.Forget(accessToken)
}

// InvalidateAll drops every credential.
func (c watchedCache) InvalidateAll() {
	c.Cache.InvalidateAll()
	c.soon.ForgetAll()
}

// tracked returns read with credentials whose uses are recorded, and whose end is watched.
func (s *Set) tracked(soon *expiring.Watch, read tracing.Read) tracing.Read {
	return func(ctx context.Context, accessToken string) (authz.Credential, error) {
		c, err := read(ctx, accessToken)
		switch {
		case err == nil:
			c.Usage = s.usage(soon, accessToken, &c)
		case errors.Is(err, authz.ErrNotFound), errors.Is(err, authz.ErrMalformed):
			soon.Forget(accessToken)
		}
		return c, err
	}
}

// usage returns what is told of the uses of a credential. It may be nil.
func (s *Set) usage(soon *expiring.Watch, accessToken string, c *authz.Credential) authz.Usage {
	if c.Disabled {
		soon.Forget(accessToken)
		return nil
	}
	ending := soon.Read(accessToken, c.ExpiresAt, c.PreviousExpiresAt, time.Now())
	switch {
	case s.Uses == nil && ending == nil:
		return nil
	case s.Uses == nil:
		return ending
	case ending == nil:
		return s.Uses.Use(accessToken)
	}
	return both{s.Uses.Use(accessToken), ending}
}

// both tells two of the uses of a credential.
type both [2]authz.Usage

// Used implements [authz.Usage].
func (b both) Used(at time.Time, replaced bool) {
	b[0].Used(at, replaced)
	b[1].Used(at, replaced)
}
