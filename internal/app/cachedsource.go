package app

import (
	"context"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
)

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
