package vaultkv

import "context"

// An Engine keeps one JSON object per key. It is safe for concurrent use.
//
// Its methods are made of predeclared types only, so that an engine can be
// written without importing this package. Its errors contain neither keys nor
// values nor the engine's own credentials.
type Engine interface {
	// Read returns the object under key. found is false where the engine knows
	// that there is none; if it cannot tell, it returns an error.
	Read(ctx context.Context, key string) (document []byte, found bool, err error)
	// Write puts an object under key, over the one that may be there.
	Write(ctx context.Context, key string, document []byte) error
	// Delete removes the object under key with all its versions. Where there is
	// none, that is no error.
	Delete(ctx context.Context, key string) error
	// List returns the keys in no particular order.
	List(ctx context.Context) (keys []string, err error)
	// EachKey calls each with every key, in no particular order, and returns
	// nil only if that were all there are. It is for more keys than List can
	// return.
	EachKey(ctx context.Context, each func(key string)) error
}
