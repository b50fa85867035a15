package cache

import (
	"errors"
	"fmt"
)

// The errors of the cache's own. None of them, and nothing else the cache
// returns, holds a key or a value; the loader's errors are passed on as they are.
var (
	// ErrBusy: the value would have to be loaded, and the limits on loads do
	// not allow another one now. A later try may succeed.
	ErrBusy = errors.New("cache is loading as much as it may, try again shortly")
	// ErrSlow: the load goes on, but to wait for it would leave the caller no
	// time to answer. A later try may find its result.
	ErrSlow = errors.New("load takes longer than the caller has time to wait")
	// ErrPanic: the loader, or a rule, panicked. What it panicked with is
	// dropped, since it may hold the key.
	ErrPanic = errors.New("panic while loading")
	// ErrClosed: the value would have to be loaded, and the cache is closed.
	ErrClosed = errors.New("cache is closed")
	// ErrContended: the key was invalidated again and again while it was
	// being loaded. A later try may succeed.
	ErrContended = errors.New("value was invalidated again and again while it was loaded, try again shortly")
)

var (
	errNoSlot  = fmt.Errorf("%w: too many loads in flight", ErrBusy)
	errNotYet  = fmt.Errorf("%w: the store was unavailable just now", ErrBusy)
	errLimited = fmt.Errorf("%w: the store limits loads, and those of keys that are held go first", ErrBusy)
	errNoRate  = fmt.Errorf("%w: too many lookups of unknown keys a second", ErrBusy)
	// errVoid ends a wait for a load that was overtaken by Invalidate. It does
	// not leave this package.
	errVoid = errors.New("load was overtaken by an invalidation")
)
