package state

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// lookAgainFor is how long a credential is dropped at every poll after its hold was
// seen: the time that its write may take, and what a request in flight may take on
// top. A hold that is done ends it sooner.
func (c *Config) lookAgainFor() time.Duration { return c.WriteWithin + 2*time.Second }

// minPollTimeout bounds one reading of the log, unless two intervals are longer.
const minPollTimeout = 2 * time.Second

// Follow reads the log over and over until ctx ends, and then returns nil. No error
// ends it, and none makes it slower: when the server answers again, it is asked
// within an interval.
//
// A credential is dropped when its hold is first seen, at each reading while it may
// be written yet, and when the hold is done: the write may not have been made at the
// first look.
//
// At most one Follow may run, and it has to run for as long as [Store.Current] is
// asked.
func (s *Store) Follow(ctx context.Context) error {
	s.gate.alive()
	beats, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.gate.beatUntil(beats, s.cfg.Interval/4) })
	defer wg.Wait()
	defer stop()

	var again time.Time
	failures := 0
	for ctx.Err() == nil {
		began := s.gate.now()
		err := s.poll(ctx, &again)
		if ctx.Err() != nil {
			break
		}
		s.note(err, failures)
		if failures++; err == nil {
			failures = 0
		}
		if !s.gate.polled(began, err == nil) {
			// It began before a stop, so it says nothing about the time since.
			continue
		}
		s.gate.rest(ctx, jitter(s.cfg.Interval-s.cfg.Interval/10, s.cfg.Interval/5))
	}
	return nil
}

// poll reads on. After everything was read anew, again says when all credentials
// are dropped once more: a write may have been under way.
func (s *Store) poll(ctx context.Context, again *time.Time) error {
	bounded, cancel := context.WithTimeout(ctx, max(minPollTimeout, 2*s.cfg.Interval))
	defer cancel()
	s.mu.Lock()
	before := s.replica
	s.mu.Unlock()
	err := s.Refresh(bounded)
	if err == nil {
		s.prepare(bounded)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	r := s.replica
	if r == nil {
		return err
	}
	if r != before {
		*again = now.Add(s.cfg.lookAgainFor())
	} else if !again.IsZero() && now.After(*again) {
		*again = time.Time{}
		s.watch.DropAll()
	}
	for key, h := range r.view.holds {
		if now.Sub(h.seen) < s.cfg.lookAgainFor() {
			s.watch.Drop(key)
		}
	}
	return err
}

// prepare creates the next segment over an old one, which may be long, lest every
// poll read that. It need not succeed.
func (s *Store) prepare(ctx context.Context) {
	s.mu.Lock()
	r := s.replica
	if r.tail.exists || r.tail.version <= 0 {
		s.mu.Unlock()
		return
	}
	seg, version, full := r.next("")
	s.mu.Unlock()
	if !full {
		_, _ = s.write(ctx, r, &seg, version)
	}
}

// Current returns at once where what is in memory may be used for a decision. It
// waits after this process was stopped and continued (or was starved) for longer
// than two intervals and the margin, and before the log has been read: for a reading
// that began after that to end, whether it succeeded or not. Its error is that of
// ctx, or wraps [authz.ErrUnavailable]: nothing has proved for MaxStale that what is
// known here is current.
func (s *Store) Current(ctx context.Context) error { return s.gate.pass(ctx) }

// Lag is the time since the beginning of the last reading that proves what is known
// here to be current, or since the store was made.
func (s *Store) Lag() time.Duration { return s.gate.lag() }

// note logs that following stops to work, and that it works again.
func (s *Store) note(err error, failures int) {
	switch {
	case err != nil && failures == 0:
		s.log.Warn("changes of other replicas are not seen; decisions are made from memory for "+fmt.Sprint(s.cfg.MaxStale)+" more", zap.Error(err))
	case err == nil && failures > 0:
		s.log.Info("changes of other replicas are seen again", zap.Int("failures", failures))
	}
}
