package vaultkv

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// pause waits for d, less if ctx ends: then it returns its error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// jitter returns d with up to spread more.
func jitter(d, spread time.Duration) time.Duration {
	var raw [8]byte
	_, _ = rand.Read(raw[:])
	return d + time.Duration(binary.BigEndian.Uint64(raw[:])%uint64(spread+1)) //nolint:gosec // spread is not negative, and the rest is below it
}
