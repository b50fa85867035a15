package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/vault-authz/vault-authz/authz"
)

// A Store keeps the credential documents of one vault object under
// their access tokens. It is safe for concurrent use, and its errors hold
// neither keys nor documents. An error that does not wrap [authz.ErrNotFound]
// means that it could not answer, or that the outcome of a write is unknown.
type Store interface {
	Read(ctx context.Context, key string) (document []byte, found bool, err error)
	Write(ctx context.Context, key string, document []byte) error
	// Delete removes the credential for good, earlier versions included. One
	// that does not exist is no error.
	Delete(ctx context.Context, key string) error
	// EachKey calls each with every key, in any order. It returns nil only if it has seen
	// all of them.
	EachKey(ctx context.Context, each func(key string)) error
}

// A VersionedStore is a Store that can refuse to overwrite what the writer has not
// seen, as KV v2 can. It is used for vault objects with
// kv v2 if the store has it, and detects writes that were made by hand.
type VersionedStore interface {
	Store
	// ReadVersion is Read with the version, 0 if nothing was ever written; it
	// may be more where nothing is found.
	ReadVersion(ctx context.Context, key string) (document []byte, version int, found bool, err error)
	// WriteVersion writes over the version, or is not ok. It may be not ok by mistake:
	// the caller reads the record back.
	WriteVersion(ctx context.Context, key string, document []byte, version int) (next int, ok bool, err error)
}

// Leases let one call at a time, of all replicas, read and write a credential. Without
// them two replicas could both create one access token, and a rotation could bring back
// what another replica deletes at that moment: KV v1 has no check-and-set, and KV v2
// forgets the versions of what is deleted.
type Leases interface {
	// LeaseCredential waits for the lease of an access token, calls do and returns its
	// error; an error of its own wraps [authz.ErrUnavailable]. do reads what it needs
	// and hands its one write to commit, which calls it with a context that ends before
	// another call may write. If the lease has expired meanwhile, commit does not call
	// it, and its error wraps [state.ErrConflict].
	LeaseCredential(ctx context.Context, accessToken string, do func(commit func(ctx context.Context, write func(context.Context) error) error) error) error
}

// Unavailable makes an error of a store wrap [authz.ErrUnavailable].
func Unavailable(err error) error {
	if err == nil || errors.Is(err, authz.ErrUnavailable) {
		return cmp.Or(err, authz.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", authz.ErrUnavailable, err)
}

// An OldVersions is a VersionedStore that can destroy what earlier versions contain.
type OldVersions interface {
	// OldVersions returns the versions before one that have not been destroyed. Those that
	// were deleted are among them: they can be brought back. The current one is not among
	// them, unless it was deleted.
	OldVersions(ctx context.Context, key string, before int) ([]int, error)
	// DestroyVersions destroys versions for good, whichever they are.
	DestroyVersions(ctx context.Context, key string, versions []int) error
}
