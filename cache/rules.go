package cache

import (
	"context"
	"time"
)

// A Loader reads the value of key from the store. It must return soon after ctx is done. The
// value is shared between callers and must not change afterwards. The Loader may keep key.
type Loader[V any] func(ctx context.Context, key string) (V, error)

// Rules define the meaning of values and errors. They are optional, and must be pure and fast.
// With the zero Rules every value has the configured TTL, no error is remembered, and no stale
// value is served.
type Rules[V any] struct {
	// Lifetime returns the lifetime of a value, 0 for the configured TTL. Other results,
	// also negative ones, are clamped to MinTTL and MaxTTL.
	Lifetime func(V) time.Duration
	// Absent says whether an error of the loader is a definite "not found". It is called
	// first.
	Absent func(error) bool
	// Unavailable says whether an error of the loader means that the store could not
	// answer, so that a stale value may be served. A load that exceeds LoadTimeout always
	// counts as unavailable. After any other error the value is removed.
	Unavailable func(error) bool
	// Limited says whether an error for which Unavailable is true means that the store
	// limits loads. Loads for keys that are held then come first.
	Limited func(error) bool
	// Inherit returns the context of a load, made from load, with what it is to have of the
	// caller that begins it, such as a trace. By default that is nothing: a load is shared,
	// and outlives its first caller.
	Inherit func(load, caller context.Context) context.Context
}

func (r Rules[V]) withDefaults() Rules[V] {
	if r.Lifetime == nil {
		r.Lifetime = func(V) time.Duration { return 0 }
	}
	if r.Absent == nil {
		r.Absent = func(error) bool { return false }
	}
	if r.Unavailable == nil {
		r.Unavailable = func(error) bool { return false }
	}
	if r.Limited == nil {
		r.Limited = func(error) bool { return false }
	}
	if r.Inherit == nil {
		r.Inherit = func(load, _ context.Context) context.Context { return load }
	}
	return r
}
