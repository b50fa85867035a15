package credential

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A Place is one credential: where it is kept and under which key.
type Place struct {
	Vault schema.Stored
	Store Store
	Key   string
	// raw is the record as it was read or written last.
	Raw []byte
	// version is what was read, where there are versions; gone says that nothing was found.
	version int
	gone    bool
	// commit makes a write under the lease that the caller holds, see [Leases].
	commit func(ctx context.Context, write func(context.Context) error) error
	// sync makes later reads current, where the server is that of the state.
	sync func(context.Context) error
}

// leaseAttempts bounds how often a change is retried after another one of the same credential.
const leaseAttempts = 5

// Leased runs do while it holds the lease of the credential among all replicas, and again
// if the credential was changed all the same. sync makes later reads current, where the
// server is that of the state.
func (p *Place) Leased(ctx context.Context, leases Leases, sync func(context.Context) error, do func() error) error {
	p.sync = sync
	var err error
	for range leaseAttempts {
		err = leases.LeaseCredential(ctx, p.Key, func(commit func(context.Context, func(context.Context) error) error) error {
			p.commit = commit
			return do()
		})
		if !errors.Is(err, state.ErrConflict) {
			break
		}
	}
	return err
}

// versioned is the store if it has versions.
func (p *Place) versioned() (VersionedStore, bool) {
	s, ok := p.Store.(VersionedStore)
	return s, ok && p.Vault.Text("kv") == api.KV2
}

// Prefix is that of the tokens that are made for the vault object.
func (p *Place) Prefix() authz.TokenPrefix { return authz.TokenPrefix(p.Vault.Text("token_prefix")) }

// Change is what all replicas are told of a change of the credential.
func (p *Place) Change() state.Change {
	return state.Change{Kind: state.KindCredentials, ID: p.Key, Vault: p.Vault.ID()}
}

// Read returns the document of a credential, nil if there is none.
func (p *Place) Read(ctx context.Context) (schema.Document, error) {
	var raw []byte
	var found bool
	var err error
	if s, ok := p.versioned(); ok {
		raw, p.version, found, err = s.ReadVersion(ctx, p.Key)
	} else {
		raw, found, err = p.Store.Read(ctx, p.Key)
	}
	p.gone = errors.Is(err, authz.ErrNotFound) || err == nil && !found
	switch {
	case p.gone:
		return nil, nil
	case err != nil:
		return nil, Unavailable(err)
	}
	p.Raw = raw
	d, err := schema.Decode(raw)
	if err != nil {
		return nil, &api.Problem{Status: http.StatusConflict, Message: "What is stored under this access token is not a credential, as it is not a JSON object; delete it first"}
	}
	return d, nil
}

// Write writes over what was read.
func (p *Place) Write(ctx context.Context, raw []byte) error {
	return p.commit(ctx, func(ctx context.Context) error {
		s, versions := p.versioned()
		if !versions {
			if err := p.Store.Write(ctx, p.Key, raw); err != nil {
				return Unavailable(err)
			}
			p.Raw = raw
			return nil
		}
		_, written, err := s.WriteVersion(ctx, p.Key, raw, p.version)
		if err == nil && !written {
			written, err = p.holds(ctx, s, raw)
		}
		switch {
		case err != nil:
			return Unavailable(err)
		case !written:
			return state.ErrConflict
		}
		p.Raw, p.version, p.gone = raw, p.version+1, false
		return nil
	})
}

// holds reports whether a refused write was made after all: a node that lost its leader
// may have forwarded the write and refused its repetition. Writing again would rotate
// twice. Its error means that this is not known: false is a proof.
func (p *Place) holds(ctx context.Context, s VersionedStore, raw []byte) (bool, error) {
	if err := p.sync(ctx); err != nil {
		return false, err
	}
	now, version, found, err := s.ReadVersion(ctx, p.Key)
	if errors.Is(err, authz.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, err
	}
	if found {
		theirs, err := schema.Decode(now)
		ours, problem := schema.Decode(raw)
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

// Delete deletes the credential, whatever version was read.
func (p *Place) Delete(ctx context.Context) error {
	return p.commit(ctx, func(ctx context.Context) error {
		if err := p.Store.Delete(ctx, p.Key); err != nil && !errors.Is(err, authz.ErrNotFound) {
			return Unavailable(err)
		}
		return nil
	})
}

// Present reads a credential that must exist.
func (p *Place) Present(ctx context.Context) (schema.Document, error) {
	d, err := p.Read(ctx)
	if err == nil && d == nil {
		err = authz.ErrNotFound
	}
	return d, err
}

// end is the first version that is not an earlier one: that of what was read or written last,
// or the one after what was deleted.
func (p *Place) end() int {
	if p.gone {
		return p.version + 1
	}
	return p.version
}

// HasEarlier reports whether there were versions before the current one. The first version is
// numbered 1; a mount without versions has none.
func (p *Place) HasEarlier() bool { return p.end() > 1 }

// OldVersions returns the versions to destroy beside what was read or written last. There are
// none where the store has no versions.
func (p *Place) OldVersions(ctx context.Context) ([]int, error) {
	store, can := p.Store.(OldVersions)
	if _, versions := p.versioned(); !versions || !can {
		return nil, nil
	}
	old, err := store.OldVersions(ctx, p.Key, p.end())
	if err == nil || errors.Is(err, authz.ErrNotFound) {
		return old, nil
	}
	return nil, Unavailable(err)
}

// DestroyVersions destroys versions that [Place.OldVersions] has named.
func (p *Place) DestroyVersions(ctx context.Context, versions []int) error {
	store, can := p.Store.(OldVersions)
	if !can {
		return errors.ErrUnsupported
	}
	return p.commit(ctx, func(ctx context.Context) error {
		if err := store.DestroyVersions(ctx, p.Key, versions); err != nil {
			return Unavailable(err)
		}
		return nil
	})
}

// Hashed says whether the records of the vault object are written with hashes.
func (p *Place) Hashed() bool { return p.Vault.Text("secrets") == api.SecretsHashed }

// CheckPair refuses the access token as the secret: its hash is no secret, as the key of the
// record says what it is of.
func (p *Place) CheckPair(accessToken, secret string, v schema.Violations) {
	if p.Hashed() && secret != "" && secret == accessToken {
		v.Add(CurrentSecret, "is the access token; leave it out to get a random one")
	}
}
