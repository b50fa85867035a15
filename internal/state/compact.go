package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// A compaction writes checkpoints for a replica, one at a time.
type compaction struct {
	// running is held by the call that writes one. It also guards other and since.
	running *semaphore.Weighted
	// soon says that compactSoon has begun one. Guarded by the store's mu.
	soon bool
	// other is the name of another replica that is writing a checkpoint, since is when
	// this replica found that, by its own clock.
	other string
	since time.Time
}

// compactSoon writes a checkpoint in the background when half of the ring is used.
// The caller holds mu.
func (s *Store) compactSoon(r *replica) {
	if s.compacting.soon || r.tail.number-r.checkpoint.Segment < segments/2 {
		return
	}
	s.compacting.soon = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), checkpointTimeout) //nolint:forbidigo // it belongs to no call, and is bounded
		defer cancel()
		err := s.compact(ctx)
		s.mu.Lock()
		s.compacting.soon = false
		s.mu.Unlock()
		if err != nil && !errors.Is(err, errBusy) {
			s.log.Warn("writing a checkpoint of the state failed; changes are accepted until the log is full", zap.Error(err))
		}
	}()
}

// compact writes a checkpoint of the known state, so that the ring has room again. It waits
// for a call that is already at it, and then usually finds nothing left to do.
func (s *Store) compact(ctx context.Context) error {
	if err := s.compacting.running.Acquire(ctx, 1); err != nil {
		return unavailable(err)
	}
	defer s.compacting.running.Release(1)
	s.mu.Lock()
	r := s.replica
	v, number, log, latest := r.view, r.tail.number, r.log, r.checkpoint
	s.mu.Unlock()
	if number-latest.Segment < segments/2 {
		return nil
	}
	// Another replica may have written one.
	current, _, found, err := readCheckpoint(ctx, s.kv)
	if err != nil {
		return wrapAll(err)
	}
	if found && current.Log == log && number-current.Segment < segments/2 {
		s.rememberCheckpoint(r, current)
		return nil
	}
	over := ""
	if time.Since(s.compacting.since) >= checkpointPatience {
		over = s.compacting.other
	}
	taken, err := takeCheckpoint(ctx, s.kv, log, v, number, over)
	var other busy
	if errors.As(err, &other) {
		if s.compacting.other != other.by {
			s.compacting.other, s.compacting.since = other.by, time.Now()
		}
		return fmt.Errorf("%w; after %s this replica writes one in its place", err, checkpointPatience)
	}
	if err != nil {
		return wrapAll(err)
	}
	s.compacting.other = ""
	s.rememberCheckpoint(r, taken)
	s.log.Info("checkpoint of the state written", zap.Int("position", taken.Position), zap.Int("pieces", taken.Pieces))
	return nil
}

func (s *Store) rememberCheckpoint(r *replica, c checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Segment > r.checkpoint.Segment {
		r.checkpoint = c
	}
}
