package authz

import (
	"context"
	"errors"
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
