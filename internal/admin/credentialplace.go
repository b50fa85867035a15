package admin

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"reflect"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/kvpath"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A place is one credential: where it is kept and under which key.
type place struct {
	vault stored
	store CredentialStore
	key   string
	// raw is the record as it was read or written last.
	raw []byte
	// version is what was read, where there are versions; gone says that nothing was found.
	version int
	gone    bool
	// commit makes a write under the lease of the call, see [Leases].
	commit func(ctx context.Context, write func(context.Context) error) error
	// sync makes later reads current, where the server is that of the state.
	sync func(context.Context) error
}

// versioned is the store if it has versions.
func (p *place) versioned() (VersionedCredentialStore, bool) {
	s, ok := p.store.(VersionedCredentialStore)
	return s, ok && p.vault.text("kv") == api.KV2
}

// prefix is that of the tokens that are made for the vault object.
func (p *place) prefix() authz.TokenPrefix { return authz.TokenPrefix(p.vault.text("token_prefix")) }

func (p *place) change() state.Change {
	return state.Change{Kind: state.KindCredentials, ID: p.key, Vault: p.vault.id()}
}

func (a *API) credentialsOf(ctx context.Context, vault stored) (CredentialStore, error) {
	store, err := a.deps.Vaults.Credentials(ctx, vault.id(), vault.version)
	if err != nil {
		return nil, notConnected(vault, err)
	}
	return store, nil
}

// notConnected is the error of [Vaults] for a vault object that exists.
func notConnected(vault stored, err error) error {
	if errors.Is(err, authz.ErrNotFound) {
		// This replica has not opened it yet, or it has changed meanwhile.
		return fmt.Errorf("vault object %q is not connected: %w", vault.text("name"), authz.ErrUnavailable)
	}
	return unavailable(err)
}

// place finds the vault object of the path. The key is checked by the caller.
func (a *API) place(c *call) (place, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return place{}, err
	}
	store, err := a.credentialsOf(c.ctx, vault)
	return place{vault: vault, store: store, key: c.param("access_token")}, err
}

// existing is place for a credential that the path names.
func (a *API) existing(c *call) (place, error) {
	p, err := a.place(c)
	if err == nil && !kvpath.IsSegment(p.key) {
		err = authz.ErrNotFound
	}
	return p, err
}

// read returns the document of a credential, nil if there is none.
func (p *place) read(ctx context.Context) (document, error) {
	var raw []byte
	var found bool
	var err error
	if s, ok := p.versioned(); ok {
		raw, p.version, found, err = s.ReadVersion(ctx, p.key)
	} else {
		raw, found, err = p.store.Read(ctx, p.key)
	}
	p.gone = errors.Is(err, authz.ErrNotFound) || err == nil && !found
	switch {
	case p.gone:
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	}
	p.raw = raw
	d, err := decodeDocument(raw)
	if err != nil {
		return nil, &api.Problem{Status: http.StatusConflict, Message: "What is stored under this access token is not a credential, as it is not a JSON object; delete it first"}
	}
	return d, nil
}

// write writes over what was read.
func (p *place) write(ctx context.Context, raw []byte) error {
	return p.commit(ctx, func(ctx context.Context) error {
		s, versions := p.versioned()
		if !versions {
			if err := p.store.Write(ctx, p.key, raw); err != nil {
				return unavailable(err)
			}
			return nil
		}
		_, written, err := s.WriteVersion(ctx, p.key, raw, p.version)
		if err == nil && !written {
			written, err = p.holds(ctx, s, raw)
		}
		switch {
		case err != nil:
			return unavailable(err)
		case !written:
			return state.ErrConflict
		}
		return nil
	})
}

// holds reports whether a refused write was made after all: a node that lost its leader
// may have forwarded the write and refused its repetition. Writing again would rotate
// twice. Its error means that this is not known: false is a proof.
func (p *place) holds(ctx context.Context, s VersionedCredentialStore, raw []byte) (bool, error) {
	if err := p.sync(ctx); err != nil {
		return false, err
	}
	now, version, found, err := s.ReadVersion(ctx, p.key)
	if errors.Is(err, authz.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, err
	}
	if found {
		theirs, err := decodeDocument(now)
		ours, problem := decodeDocument(raw)
		if err == nil && problem == nil && reflect.DeepEqual(theirs, ours) {
			return true, nil
		}
	}
	// The next version is of somebody else, or the record was deleted with all versions.
	// Any other version may come from a node that lags, or hide the write.
	if found && version == p.version+1 || version == 0 && p.version > 0 {
		return false, nil
	}
	return false, errors.New("the store refused a write, and it does not show whether the write was made")
}

// delete deletes the credential, whatever version was read.
func (p *place) delete(ctx context.Context) error {
	return p.commit(ctx, func(ctx context.Context) error {
		if err := p.store.Delete(ctx, p.key); err != nil && !errors.Is(err, authz.ErrNotFound) {
			return unavailable(err)
		}
		return nil
	})
}

// alone runs do while it holds the lease of the credential among all replicas, and again
// if the credential was changed all the same.
func (a *API) alone(c *call, p *place, do func() (reply, error)) (reply, error) {
	defer a.lock(p)()
	var answer reply
	var err error
	for range attempts {
		err = a.deps.Leases.LeaseCredential(c.ctx, p.key, func(commit func(context.Context, func(context.Context) error) error) error {
			p.commit, p.sync = commit, a.deps.Store.Refresh
			var err error
			answer, err = do()
			return err
		})
		if !errors.Is(err, state.ErrConflict) {
			break
		}
	}
	return answer, err
}

// aloneWith is alone for a credential that must exist.
func (a *API) aloneWith(c *call, p *place, do func(old document) (reply, error)) (reply, error) {
	return a.alone(c, p, func() (reply, error) {
		old, err := p.present(c.ctx)
		if err != nil {
			return reply{}, err
		}
		return do(old)
	})
}

// present reads a credential that must exist.
func (p *place) present(ctx context.Context) (document, error) {
	d, err := p.read(ctx)
	if err == nil && d == nil {
		err = authz.ErrNotFound
	}
	return d, err
}

// lock lets one call of this replica at a time compete for a lease.
func (a *API) lock(p *place) (unlock func()) {
	l := &a.tokens[maphash.String(a.seed, p.key)%uint64(len(a.tokens))]
	l.Lock()
	return l.Unlock
}
