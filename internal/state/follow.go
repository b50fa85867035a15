package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// lookAgainFor is how long after its hold was seen a credential may be written: the time
// that its write may take, and what a request in flight may take on top.
func (c *Config) lookAgainFor() time.Duration { return c.WriteWithin + 2*time.Second }

// minPollTimeout bounds one reading of the log, unless two intervals are longer.
const minPollTimeout = 2 * time.Second

// Follow reads the log over and over until ctx ends, and then returns nil. No error
// ends it, and none makes it slower: when the server answers again, it is asked
// within an interval.
//
// A credential is dropped when its hold is first seen, at each reading after that, and at
// last after one that began when the hold was done, or when its time was over. Only then
// is it certain that what is loaded from then on is what was written: the log may be read
// from a node that is ahead of the one which credentials are read from.
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

	failures, late := 0, false
	for ctx.Err() == nil {
		began := s.gate.now()
		err := s.poll(ctx)
		if ctx.Err() != nil {
			break
		}
		s.note(err, failures)
		if failures++; err == nil {
			failures = 0
		}
		ended := s.gate.now()
		s.gate.polled(began, ended, err == nil, s.lastNews())
		late = s.noteLate(late)
		// The gate ends the rest if this reading began before a stop, so that it says
		// nothing about the time since.
		rest := jitter(s.cfg.Interval-s.cfg.Interval/10, s.cfg.Interval/5) - time.Duration(s.gate.now()-began)
		s.gate.rest(ctx, max(rest, s.cfg.Interval/10))
	}
	return nil
}

// poll reads on, and drops what may have changed.
func (s *Store) poll(ctx context.Context) error {
	timeout := max(minPollTimeout, 2*s.cfg.Interval)
	if s.view.Load() == nil {
		timeout = loadTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	if err := s.refresh(bounded); err != nil {
		return err
	}
	s.prepare(bounded)
	if err := s.followLegacy(bounded); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allSuspect.IsZero() && !began.Before(s.allSuspect) {
		s.allSuspect = time.Time{}
		s.watch.DropAll()
	}
	for key, until := range s.suspects {
		s.watch.Drop(key)
		if !began.Before(until) {
			delete(s.suspects, key)
		}
	}
	return nil
}

// prepare creates the next segment. Over an old one, which may be long, it does so lest
// every poll read that. And as long as there is none, a backup that is restored in which
// the segment before it goes on would not be noticed. It need not succeed.
func (s *Store) prepare(ctx context.Context) {
	s.mu.Lock()
	r := s.replica
	if r.tail.exists || r.tail.version < 0 || r.tail.number == 0 {
		s.mu.Unlock()
		return
	}
	seg, version, full := r.next("")
	s.mu.Unlock()
	if !full {
		_, _ = s.write(ctx, r, &seg, version)
	}
}

// Current returns at once where what is in memory may be used for a decision.
//
// It waits after this process was stopped and continued (or was starved) for longer
// than two intervals and the margin, and before the log has been read: for a reading
// that began after that to end, whether it succeeded or not, and for what it led to to
// be in use.
//
// It also waits when the log has said for as long that something else is so than what
// is in use, or does not go on from there: until that is in use.
//
// Its error is that of ctx, or wraps [authz.ErrUnavailable]: nothing has proved for
// MaxStale that what is known here is current.
func (s *Store) Current(ctx context.Context) error { return s.gate.pass(ctx) }

// Lag is the time since the beginning of the last reading that proves what is known
// here to be current, or since the store was made.
func (s *Store) Lag() time.Duration { return s.gate.lag() }

// noteLate logs that nothing is decided because of what is not in use yet, and the end
// of that.
func (s *Store) noteLate(before bool) (late bool) {
	late = s.gate.now() > s.gate.until.Load()
	switch {
	case late && !before:
		s.log.Warn("requests are answered with 503 until this replica has caught up: others have changed what it does not decide by yet")
	case !late && before:
		s.log.Info("requests are decided again, this replica has caught up")
	}
	return late
}

// Problem is why the last reading of the log failed, nil if it did not.
func (s *Store) Problem() error {
	if err := s.problem.Load(); err != nil {
		return *err
	}
	return nil
}

// note logs that following stops to work, and that it works again.
func (s *Store) note(err error, failures int) {
	was := s.Problem()
	if err == nil {
		s.problem.Store(nil)
	} else {
		s.problem.Store(&err)
	}
	soon := errors.Is(was, errNotYet)
	switch {
	case err != nil && failures > 0 && !soon, errors.Is(err, errNotYet) && soon:
	case errors.Is(err, errNotYet):
		s.log.Info("the state is not read yet", zap.Error(err))
	case err != nil && s.shown.Load() == nil:
		s.log.Warn("the state is not read yet", zap.Error(err))
	case err != nil:
		s.log.Warn("changes of other replicas are not seen; decisions are made from memory for "+fmt.Sprint(s.cfg.MaxStale)+" more", zap.Error(err))
	case failures > 0 && !soon:
		s.log.Info("changes of other replicas are seen again", zap.Int("failures", failures))
	}
}
