package app

import (
	"context"
	"errors"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/expiring"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A watchedCache is a cache whose credentials are watched for their end. What is dropped from it
// is gone or has changed, so its end is not known any more.
type watchedCache struct {
	*cache.Cache[authz.Credential]

	soon *expiring.Watch
}

var _ vaultkv.Cache = watchedCache{}

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
func (bs *vaultBackends) tracked(soon *expiring.Watch, read tracing.Read) tracing.Read {
	return func(ctx context.Context, accessToken string) (authz.Credential, error) {
		c, err := read(ctx, accessToken)
		switch {
		case err == nil:
			c.Usage = bs.usage(soon, accessToken, &c)
		case errors.Is(err, authz.ErrNotFound), errors.Is(err, authz.ErrMalformed):
			soon.Forget(accessToken)
		}
		return c, err
	}
}

// usage returns what the uses of a credential are told to, nil if they are told to nobody.
func (bs *vaultBackends) usage(soon *expiring.Watch, accessToken string, c *authz.Credential) authz.Usage {
	if c.Disabled {
		soon.Forget(accessToken)
		return nil
	}
	ending := soon.Read(accessToken, c.ExpiresAt, c.PreviousExpiresAt, time.Now())
	switch {
	case bs.uses == nil && ending == nil:
		return nil
	case bs.uses == nil:
		return ending
	case ending == nil:
		return bs.uses.Use(accessToken)
	}
	return both{bs.uses.Use(accessToken), ending}
}

// both are two that are told of the uses of a credential.
type both [2]authz.Usage

// Used implements [authz.Usage].
func (b both) Used(at time.Time, replaced bool) {
	b[0].Used(at, replaced)
	b[1].Used(at, replaced)
}
