package app

import (
	"context"

	"github.com/vault-authz/vault-authz/authz"
)

// explain explains what Envoy would be told about a request.
func (s *service) explain(ctx context.Context, r *authz.Request) authz.Explanation {
	return s.authorizer.Explain(ctx, r, s.decider.Check)
}
