package cache

import (
	"errors"
	"fmt"
	"time"
)

// Config says how much a Cache holds, for how long, and how hard it may work the
// store. The zero Config is not valid: begin with [DefaultConfig].
type Config struct {
	// Capacity is how many values are held, default 100 000. Beyond it one
	// goes that has not been used for long.
	Capacity int
	// AbsentCapacity is how many absent keys are remembered, default 10 000,
	// apart from Capacity.
	AbsentCapacity int

	// TTL is how long a value is fresh that does not say so itself, default
	// 5 minutes.
	TTL time.Duration
	// MinTTL and MaxTTL bound what values say, defaults 1 second and 1 hour.
	// MaxTTL + MaxStale is the longest time for which a value is used that has
	// changed in the store without an Invalidate.
	MinTTL, MaxTTL time.Duration
	// Jitter is the part of a life, 0 to 0.5, by which it is shortened at
	// random at most, default 0.1: lives are 90 % to 100 % of what they could
	// be, MinTTL and AbsentTTL included. 0 turns it off.
	Jitter float64
	// RefreshAhead is the last part of a life, 0 to 0.9, in which a value that
	// is used is read again in the background, default 0.2. 0 turns it off:
	// somebody then waits for each reload.
	RefreshAhead float64

	// MaxStale is how long after its expiry a value may stand in for a store
	// that is unavailable, default 30 seconds. 0 turns it off.
	MaxStale time.Duration
	// StaleWait is how long a load may take before a stale value stands in for
	// it, counted from the beginning of the load, default 100 milliseconds. It
	// should be well below the time that the gateway waits for us. With 0
	// nobody waits for the reload of a stale value.
	StaleWait time.Duration
	// RetryInterval is the time between two background loads of a value whose
	// store is unavailable, default 1 second.
	RetryInterval time.Duration

	// AbsentTTL is how long an absent key is remembered, default 5 seconds, at
	// most 10. A value that is made in the store without an Invalidate is seen
	// that much later. 0 turns it off.
	AbsentTTL time.Duration

	// LoadTimeout bounds one load, default 2 seconds. It is independent of how
	// long callers wait.
	LoadTimeout time.Duration
	// MaxLoads bounds the loads in flight, default 128, at least 4. Background
	// loads take up no more than half of it, loads of keys that are not held
	// no more than three quarters.
	MaxLoads int
	// MissesPerSecond bounds the loads of keys that are not held, default
	// 1000. It is what a flood of made-up keys can cost the store, and how
	// fast an empty cache fills. After a quiet time two seconds' worth of them
	// may begin at once. Keys that come again after they were refused have a
	// quarter of all that on top, so that a flood does not keep them out. 0
	// means no bound.
	MissesPerSecond float64
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Capacity:        100_000,
		AbsentCapacity:  10_000,
		TTL:             5 * time.Minute,
		MinTTL:          time.Second,
		MaxTTL:          time.Hour,
		Jitter:          0.1,
		RefreshAhead:    0.2,
		MaxStale:        30 * time.Second,
		StaleWait:       100 * time.Millisecond,
		RetryInterval:   time.Second,
		AbsentTTL:       5 * time.Second,
		LoadTimeout:     2 * time.Second,
		MaxLoads:        128,
		MissesPerSecond: 1000,
	}
}

// Bounds on the configuration. Beyond them a setting is a mistake in its unit,
// or gives up what the cache promises.
const (
	maxTTL       = 7 * 24 * time.Hour
	maxStale     = time.Hour
	maxAbsentTTL = 10 * time.Second
	maxJitter    = 0.5
	maxAhead     = 0.9
	minLoads     = 4
)

// Validate reports every mistake.
func (c Config) Validate() error {
	return errors.Join(
		check(c.Capacity >= 1, "capacity: %d is too small, use at least 1", c.Capacity),
		check(c.AbsentCapacity >= 1, "absent_capacity: %d is too small, use at least 1 (absent_ttl 0 turns it off)", c.AbsentCapacity),
		check(c.TTL > 0 && c.TTL <= maxTTL, "ttl: %s is not above 0 and up to %s", c.TTL, maxTTL),
		check(c.MinTTL > 0, "min_ttl: %s must be above 0", c.MinTTL),
		check(c.MinTTL <= c.TTL, "ttl: %s is below min_ttl %s", c.TTL, c.MinTTL),
		check(c.TTL <= c.MaxTTL, "ttl: %s is above max_ttl %s", c.TTL, c.MaxTTL),
		check(c.MaxTTL <= maxTTL, "max_ttl: %s is above the limit of %s", c.MaxTTL, maxTTL),
		// Written so that NaN is refused as well.
		check(c.Jitter >= 0 && c.Jitter <= maxJitter, "jitter: %g is not in 0 to %g", c.Jitter, maxJitter),
		check(c.RefreshAhead >= 0 && c.RefreshAhead <= maxAhead, "refresh_ahead: %g is not in 0 to %g", c.RefreshAhead, maxAhead),
		check(c.MaxStale >= 0 && c.MaxStale <= maxStale, "max_stale: %s is not in 0 to %s", c.MaxStale, maxStale),
		check(c.StaleWait >= 0, "stale_wait: %s must not be negative", c.StaleWait),
		check(c.RetryInterval > 0, "retry_interval: %s must be above 0", c.RetryInterval),
		check(c.AbsentTTL >= 0 && c.AbsentTTL <= maxAbsentTTL, "absent_ttl: %s is not in 0 to %s", c.AbsentTTL, maxAbsentTTL),
		check(c.LoadTimeout > 0, "load_timeout: %s must be above 0", c.LoadTimeout),
		check(c.MaxLoads >= minLoads, "max_loads: %d is too small, use at least %d", c.MaxLoads, minLoads),
		check(c.MissesPerSecond >= 0, "misses_per_second: %g must not be negative (0 means no bound)", c.MissesPerSecond),
	)
}

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}
