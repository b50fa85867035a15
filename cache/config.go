package cache

import (
	"errors"
	"fmt"
	"time"
)

// Config configures the size of a Cache, the lifetime of values, and the load on the store.
// The zero Config is not valid: begin with [DefaultConfig].
type Config struct {
	// Capacity is the maximum number of values, default 100 000. When it is reached, the
	// least recently used value is evicted.
	Capacity int
	// AbsentCapacity is the maximum number of absent keys, default 10 000. They do not
	// count for Capacity.
	AbsentCapacity int

	// TTL is how long a value is fresh if its lifetime is not known, default 5 minutes.
	TTL time.Duration
	// MinTTL and MaxTTL are limits for the lifetime of values, defaults 1 second and
	// 1 hour. MaxTTL + MaxStale is the longest time for which a value is served that has
	// changed in the store without an Invalidate.
	MinTTL, MaxTTL time.Duration
	// Jitter is the maximum part of a lifetime, 0 to 0.5, by which it is shortened at
	// random, default 0.1: lifetimes are 90 % to 100 % of the configured ones, also of
	// MinTTL and AbsentTTL. 0 disables it.
	Jitter float64
	// RefreshAhead is the last part of a lifetime, 0 to 0.9, in which a used value is
	// loaded again in the background, default 0.2. With 0 a caller waits for each reload.
	RefreshAhead float64

	// MaxStale is how long after its expiry a value may be served while the store is
	// unavailable, default 30 seconds. 0 disables it.
	MaxStale time.Duration
	// StaleWait is how long a load may take before a stale value is served instead,
	// counted from the beginning of the load, default 100 milliseconds. It should be well
	// below the timeout of the gateway. With 0 no caller waits for the reload of a stale
	// value.
	StaleWait time.Duration
	// RetryInterval is the time between two background loads of a value while the store is
	// unavailable, default 1 second.
	RetryInterval time.Duration

	// AbsentTTL is how long an absent key is remembered, default 5 seconds, at most 10. It
	// is the delay until a value is found that is created in the store without an
	// Invalidate. 0 disables it.
	AbsentTTL time.Duration

	// LoadTimeout is the timeout of a load, default 2 seconds. It does not depend on how
	// long callers wait.
	LoadTimeout time.Duration
	// MaxLoads is the maximum number of loads in flight, default 128, at least 4. Background
	// loads use at most half of it, loads for keys that are not held at most three
	// quarters.
	MaxLoads int
	// MissesPerSecond is the maximum rate of loads for keys that are not held, default
	// 1000. It limits what a flood of random keys can cost the store, and how fast an
	// empty cache fills. Up to two seconds of unused rate are saved. Keys that are
	// requested again after they were refused have an additional quarter of the rate, so
	// that a flood does not lock them out. 0 means no limit.
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

// Limits of the configuration. A setting beyond them has the wrong unit, or breaks a guarantee
// of the cache.
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
		// This form also refuses NaN.
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
