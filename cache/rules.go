package cache

import (
	"context"
	"time"
)

// A Loader reads the value of key from where it lives. It must return soon after
// ctx is done; what it returns is shared between callers and must not change
// afterwards. It may keep key.
type Loader[V any] func(ctx context.Context, key string) (V, error)

// Rules say what values and errors mean. All of them are optional and must be
// pure and quick. With the zero Rules every value lives for the configured TTL,
// no error is remembered, and nothing stale is ever returned.
type Rules[V any] struct {
	// Lifetime returns for how long a value asks to be used before it is read
	// again: 0 if it does not say, in which case the configured TTL applies.
	// Anything else is clamped to MinTTL and MaxTTL, a negative lifetime thus
	// to MinTTL.
	Lifetime func(V) time.Duration
	// Absent says whether an error of the loader is a definite "there is no
	// such value". It is asked first.
	Absent func(error) bool
	// Unavailable says whether an error of the loader means that the store
	// could not answer, so that a stale value may stand in. A load that ran
	// into LoadTimeout counts as that unasked. After any other error the value
	// is dropped.
	Unavailable func(error) bool
	// Limited says whether an error for which Unavailable is true means that the
	// store wants to be asked less. Keys that are held are then read first.
	Limited func(error) bool
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
	return r
}
