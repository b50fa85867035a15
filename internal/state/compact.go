package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// A compaction writes checkpoints for a replica, one at a time.
type compaction struct {
	turn turn
	// running says that compactSoon has begun one. Guarded by the store's mu.
	running bool
	// other is a writer that is in the way, since when, by this clock.
	other string
	since time.Time
}

// compactSoon writes a checkpoint in the background when half of the ring is used.
// The caller holds mu.
func (s *Store) compactSoon(r *replica) {
	if s.compacting.running || r.tail.number-r.kept.Segment < segments/2 {
		return
	}
	s.compacting.running = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), checkpointTimeout) //nolint:forbidigo // it belongs to no call, and is bounded
		defer cancel()
		err := s.compact(ctx)
		s.mu.Lock()
		s.compacting.running = false
		s.mu.Unlock()
		if err != nil && !errors.Is(err, errBusy) {
			s.log.Warn("no checkpoint of the state was written; changes go on until the log is full", zap.Error(err))
		}
	}()
}

// compact writes a checkpoint of the state as it is known, so that the ring has room
// again. It waits for its turn, so it finds that another call has done it already.
func (s *Store) compact(ctx context.Context) error {
	if err := s.compacting.turn.take(ctx); err != nil {
		return unavailable(err)
	}
	defer s.compacting.turn.giveBack()
	s.mu.Lock()
	r := s.replica
	v, number, log, kept := r.view, r.tail.number, r.log, r.kept
	s.mu.Unlock()
	if number-kept.Segment < segments/2 {
		return nil
	}
	// Another replica may have written one.
	current, _, found, err := readCheckpoint(ctx, s.kv)
	if err != nil {
		return wrapAll(err)
	}
	if found && current.Log == log && number-current.Segment < segments/2 {
		s.keep(r, current)
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
		return fmt.Errorf("%w; it is given up after %s", err, checkpointPatience)
	}
	if err != nil {
		return wrapAll(err)
	}
	s.compacting.other = ""
	s.keep(r, taken)
	s.log.Info("checkpoint of the state written", zap.Int("position", taken.Position), zap.Int("pieces", taken.Pieces))
	return nil
}

func (s *Store) keep(r *replica, c checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Segment > r.kept.Segment {
		r.kept = c
	}
}
