package logging

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A record is a line that somebody waits for.
type record struct {
	text  []byte
	state atomic.Uint32
	// done gets what became of it, once.
	done chan error
}

// The states of a record.
const (
	recordWaits uint32 = iota
	// recordTaken: it is being written.
	recordTaken
	// recordLeft: nobody waits for it, and it must not be written any more.
	recordLeft
)

// recordPatience is how long a record may take to be written.
const recordPatience = 3 * time.Second

var (
	errSlow   = errors.New("whoever reads the log is too slow")
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
		r.state.CompareAndSwap(recordWaits, recordLeft)
	case <-ctx.Done():
		r.state.CompareAndSwap(recordWaits, recordLeft)
	}
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
