package authz

import (
	"context"
	"errors"
	"time"
)

// A Source finds credentials. There is one for each vault object; a store and a
// cache in front of it are both a Source, so that a cache is one line of wiring.
type Source interface {
	// Lookup returns the credential that is stored under accessToken, which
	// has passed the token grammar. Its error wraps [ErrNotFound] or
	// [ErrMalformed]; any other error means that the store could not answer,
	// and should wrap [ErrUnavailable]. Lookup is safe for concurrent use and
	// its errors contain neither the access token nor any secret.
	Lookup(ctx context.Context, accessToken string) (Credential, error)
}

// A Rechecker is a Source that answers from memory, such as a cache. The answer to a
// request with a bad credential must not tell what is in there, which is what others
// have asked for: in no state of the store, and not by the time that it takes.
type Rechecker interface {
	Source
	// Recheck is called when the credential that Lookup returned was not good
	// enough. It answers as Lookup does for an access token that is not in memory:
	// out of the store, if that can be asked now. news is false where that was done
	// a short time ago. since is when the request arrived: what was read after that
	// need not be read again.
	Recheck(ctx context.Context, accessToken string, since time.Time) (c Credential, news bool, err error)
}

// The errors that a Source wraps.
var (
	// ErrNotFound: the store answered, and has no such credential.
	ErrNotFound = errors.New("no such credential")
	// ErrMalformed: the store has a record that cannot be used. The client
	// sees what it sees for an unknown token; the operator gets a log line.
	ErrMalformed = errors.New("malformed credential record")
	// ErrUnavailable: the store did not answer, or refused us.
	ErrUnavailable = errors.New("credential store unavailable")
)
