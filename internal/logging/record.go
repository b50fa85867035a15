package logging

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A record is a line whose writer waits for the result.
type record struct {
	text []byte
	// settled says that it is being written, or that its writer has left before and it must
	// not be written any more.
	settled atomic.Bool
	// done gets the result, once.
	done chan error
}

// recordPatience is how long a record may take to be written.
const recordPatience = 3 * time.Second

var (
	errSlow   = errors.New("the reader of the log is too slow")
	errClosed = errors.New("the log is closed")
)

// Record writes a line and waits until it is written, for a few seconds. After an
// error it is not written, unless writing had begun and got stuck: then it may be
// there later, whole or in part.
func (s *Sink) Record(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, recordPatience, errSlow)
	defer cancel()
	r := &record{text: text, done: make(chan error, 1)}
	select {
	case s.records <- r:
	case <-s.ended:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", s.name, context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-s.ended:
	case <-ctx.Done():
	}
	r.settled.Store(true)
	select {
	case err := <-r.done: // at the last moment
		return err
	default:
	}
	if ctx.Err() == nil {
		return errClosed
	}
	return fmt.Errorf("%s: %w", s.name, context.Cause(ctx))
}
