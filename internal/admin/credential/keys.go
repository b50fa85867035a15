package credential

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// SortedKeys returns the keys of all credentials in a store.
func SortedKeys(ctx context.Context, store Store) ([]string, error) {
	var keys []string
	err := store.EachKey(ctx, func(key string) {
		// Names that end with a slash are folders.
		if kvpath.IsSegment(key) {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return nil, Unavailable(err)
	}
	slices.Sort(keys)
	return keys, nil
}

// After returns the sorted keys after one.
func After(keys []string, key string) []string {
	first, found := slices.BinarySearch(keys, key)
	if found {
		first++
	}
	return keys[first:]
}

const (
	// readers bounds the concurrent reads of one call.
	readers = 8
	// MaxScan bounds how many credentials one page looks at, where only some
	// of them are wanted.
	MaxScan = 2000
)

// ReadAll reads credentials, in order. A credential that is gone is nil, one that
// cannot be decoded is empty.
func ReadAll(ctx context.Context, places []Place) ([]schema.Document, error) {
	documents := make([]schema.Document, len(places))
	errs := make([]error, len(places))
	var running errgroup.Group
	running.SetLimit(readers)
	for i := range places {
		running.Go(func() error {
			documents[i], errs[i] = places[i].Read(ctx)
			if _, malformed := errors.AsType[*api.Problem](errs[i]); malformed {
				documents[i], errs[i] = schema.Document{}, nil
			}
			return nil
		})
	}
	_ = running.Wait() // none of them returns an error
	return documents, errors.Join(errs...)
}

// Position orders credentials of all vault objects.
func (p *Place) Position() string { return p.Vault.ID() + "/" + p.Key }

// IsPosition says whether an offset is the position of a credential.
func IsPosition(s string) bool {
	vault, key, _ := strings.Cut(s, "/")
	return authz.IsUUID(vault) && kvpath.IsSegment(key)
}
