// Package backoff spaces attempts: waits that end with a context, waits with
// jitter, and waits that double.
package backoff

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Sleep waits for d. If ctx ends first, Sleep returns the error of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Jitter returns a random duration between d and d+spread, both included. spread
// must not be negative.
func Jitter(d, spread time.Duration) time.Duration {
	var raw [8]byte
	_, _ = rand.Read(raw[:])                                                   // never fails
	return d + time.Duration(binary.BigEndian.Uint64(raw[:])%uint64(spread+1)) //nolint:gosec // spread is not negative, and the remainder is smaller than it
}

// An Exponential yields the waits between failing attempts: First, then double the
// one before, at most Max, each shortened by up to a half at random. It is not safe
// for concurrent use.
type Exponential struct {
	First, Max time.Duration

	last time.Duration
}

// Next returns the wait before the next attempt.
func (e *Exponential) Next() time.Duration {
	e.last = min(e.Max, max(e.First, 2*e.last))
	return Jitter(e.last/2, e.last/2)
}

// Reset starts again at First, after a success.
func (e *Exponential) Reset() { e.last = 0 }
