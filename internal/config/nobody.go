package config

import (
	"context"

	"github.com/vault-authz/vault-authz/authz"
)

// nobody stands in for the source of a vault object where only its existence
// counts.
type nobody struct{}

func (nobody) Lookup(context.Context, string) (authz.Credential, error) {
	return authz.Credential{}, authz.ErrNotFound
}
