package config

import (
	"context"

	"github.com/vault-authz/vault-authz/authz"
)

// stubSource is the source of every vault object where only its name is checked.
type stubSource struct{}

func (stubSource) Lookup(context.Context, string) (authz.Credential, error) {
	return authz.Credential{}, authz.ErrNotFound
}
