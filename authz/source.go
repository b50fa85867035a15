package authz

import (
	"context"
	"errors"
	"time"
)

// A Source finds the credentials of one vault object. Both a store and the cache in front
// of it are a Source.
type Source interface {
	// Lookup returns the credential that is stored under accessToken, which
	// has passed the token grammar. Its error wraps [ErrNotFound] or
	// [ErrMalformed]; any other error means that the store could not answer,
	// and should wrap [ErrUnavailable]. Lookup is safe for concurrent use and
	// its errors contain neither the access token nor any secret.
	Lookup(ctx context.Context, accessToken string) (Credential, error)
}

// A Reporter is a Source that says how it has found an answer.
type Reporter interface {
	Source
	// Report is Lookup. how is a constant word for people, such as "hit" or "miss".
	Report(ctx context.Context, accessToken string) (c Credential, how string, err error)
}

func reporterOf(s Source) Reporter {
	if r, is := s.(Reporter); is {
		return r
	}
	return silent{s}
}

// silent is a Source that does not say how it has found an answer.
type silent struct{ Source }

// Report implements [Reporter].
func (s silent) Report(ctx context.Context, accessToken string) (Credential, string, error) {
	c, err := s.Lookup(ctx, accessToken)
	return c, "", err
}

// A Rechecker is a Source that answers from memory, such as a cache. Neither the answer to
// a request with a bad credential nor its duration may reveal what is in memory, since that
// is what other clients have used. This holds in every state of the store.
type Rechecker interface {
	Source
	// Recheck is called when the credential of Lookup did not authenticate the request.
	// It answers as Lookup does for an access token that is not in memory: from the
	// store, if the store can be asked now. fresh is false if the store was asked a
	// short time ago. since is when the request arrived: a credential that was read
	// later need not be read again.
	Recheck(ctx context.Context, accessToken string, since time.Time) (c Credential, fresh bool, err error)
}

// The errors that a Source wraps.
var (
	// ErrNotFound means that the store answered, and has no such credential.
	ErrNotFound = errors.New("no such credential")
	// ErrMalformed means that the store has a record that cannot be used. The client
	// gets the answer for an unknown token; the operator gets a log line.
	ErrMalformed = errors.New("malformed credential record")
	// ErrUnavailable means that the store did not answer, or refused this service.
	ErrUnavailable = errors.New("credential store unavailable")
)

// The outcomes of a read of a credential, as metrics and traces name them.
const (
	ReadFound       = "found"
	ReadNotFound    = "not_found"
	ReadMalformed   = "malformed"
	ReadUnavailable = "unavailable"
)

// ReadOutcome returns what the error of [Source].Lookup says about a read. Whatever is not a
// definite answer is unavailable.
func ReadOutcome(err error) string {
	switch reasonOf(err) { //nolint:exhaustive // there are no others
	case ReasonUnset:
		return ReadFound
	case ReasonUnknownToken:
		return ReadNotFound
	case ReasonMalformedRecord:
		return ReadMalformed
	}
	return ReadUnavailable
}

// reasonOf returns the reason to deny a request after an error of [Source].Lookup, ReasonUnset
// without one.
func reasonOf(err error) Reason {
	switch {
	case err == nil:
		return ReasonUnset
	case errors.Is(err, ErrNotFound):
		return ReasonUnknownToken
	case errors.Is(err, ErrMalformed):
		return ReasonMalformedRecord
	}
	return ReasonUnavailable
}
