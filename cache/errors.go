package cache

import (
	"errors"
	"fmt"
)

// The errors of the cache. They contain no key and no value. The cache returns the errors of
// the loader unchanged.
var (
	// ErrBusy means that the value must be loaded, and the limits do not allow another load now. A
	// later lookup may succeed.
	ErrBusy = errors.New("cache is loading as much as it may, try again shortly")
	// ErrSlow means that the load continues, but the caller cannot wait longer. A later lookup may
	// find its result.
	ErrSlow = errors.New("load takes longer than the caller has time to wait")
	// ErrPanic means that the loader or a rule panicked. The panic value is dropped, because it may
	// contain the key.
	ErrPanic = errors.New("panic while loading")
	// ErrClosed means that the value must be loaded, and the cache is closed.
	ErrClosed = errors.New("cache is closed")
	// ErrContended means that the key was invalidated repeatedly during its load. A later lookup may
	// succeed.
	ErrContended = errors.New("value was invalidated again and again while it was loaded, try again shortly")
)

var (
	errNoSlot  = fmt.Errorf("%w: too many loads in flight", ErrBusy)
	errNotYet  = fmt.Errorf("%w: the store was unavailable just now", ErrBusy)
	errLimited = fmt.Errorf("%w: the store limits loads, and those of keys that are held go first", ErrBusy)
	errNoRate  = fmt.Errorf("%w: too many lookups of unknown keys a second", ErrBusy)
	// errVoid ends the wait for a load whose key was invalidated. The package does not
	// return it.
	errVoid = errors.New("load was overtaken by an invalidation")
)
