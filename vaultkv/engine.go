package vaultkv

import "context"

// An Engine stores one JSON object per key. It is safe for concurrent use.
//
// Its methods use predeclared types only, so that an engine can be written without
// importing this package. Its errors contain neither keys nor values nor the engine's own
// credentials.
type Engine interface {
	// Read returns the object under key. found is false if the engine knows that there is
	// no object; if it does not know, it returns an error.
	Read(ctx context.Context, key string) (document []byte, found bool, err error)
	// Write stores an object under key and replaces an existing one.
	Write(ctx context.Context, key string, document []byte) error
	// Delete removes the object under key with all its versions. It is not an error if
	// there is no object.
	Delete(ctx context.Context, key string) error
	// EachKey calls each with every key, in no particular order. It returns nil only if it
	// has seen all keys.
	EachKey(ctx context.Context, each func(key string)) error
}
