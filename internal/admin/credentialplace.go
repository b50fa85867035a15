package admin

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

func (a *API) credentialsOf(ctx context.Context, vault schema.Stored) (credential.Store, error) {
	store, err := a.deps.Vaults.Credentials(ctx, vault.ID(), vault.Version)
	if err != nil {
		return nil, notConnected(vault, err)
	}
	return store, nil
}

// notConnected is the error of [Vaults] for a vault object that exists.
func notConnected(vault schema.Stored, err error) error {
	if errors.Is(err, authz.ErrNotFound) {
		// This replica has not opened it yet, or it has changed meanwhile.
		return fmt.Errorf("vault object %q is not connected: %w", vault.Text("name"), authz.ErrUnavailable)
	}
	return credential.Unavailable(err)
}

// place finds the vault object of the path. The key is checked by the caller.
func (a *API) place(c *call) (credential.Place, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return credential.Place{}, err
	}
	store, err := a.credentialsOf(c.ctx, vault)
	return credential.Place{Vault: vault, Store: store, Key: c.param("access_token")}, err
}

// existing is place for a credential that the path names.
func (a *API) existing(c *call) (credential.Place, error) {
	p, err := a.place(c)
	if err == nil && !kvpath.IsSegment(p.Key) {
		err = authz.ErrNotFound
	}
	return p, err
}

// alone runs do while it holds the lease of the credential among all replicas, and again
// if the credential was changed all the same.
func (a *API) alone(c *call, p *credential.Place, do func() (reply, error)) (reply, error) {
	defer a.lock(p)()
	var answer reply
	err := p.Leased(c.ctx, a.deps.Leases, a.deps.Store.Refresh, func() (err error) {
		answer, err = do()
		return err
	})
	return answer, err
}

// aloneWith is alone for a credential that must exist.
func (a *API) aloneWith(c *call, p *credential.Place, do func(old schema.Document) (reply, error)) (reply, error) {
	return a.alone(c, p, func() (reply, error) {
		old, err := p.Present(c.ctx)
		if err != nil {
			return reply{}, err
		}
		return do(old)
	})
}

// lock lets one call of this replica at a time compete for a lease.
func (a *API) lock(p *credential.Place) (unlock func()) {
	l := &a.tokens[maphash.String(a.seed, p.Key)%uint64(len(a.tokens))]
	l.Lock()
	return l.Unlock
}
