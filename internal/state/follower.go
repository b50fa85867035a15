package state

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// minPollTimeout bounds one poll, unless two intervals are longer.
const minPollTimeout = 2 * time.Second

// Follow polls the log until ctx ends, and then returns nil. Errors neither end it nor slow
// it down: when the server answers again, a poll finds that within an interval.
//
// A credential is dropped when its lease is first seen, and after each poll from then on.
// The last drop is after a poll that began when the lease was released, or had expired.
// The log and the credentials may be read from different nodes. If the node of the
// credentials is behind, a load before that point can still return the old credential.
//
// At most one Follow may run. It has to run while [Store.Current] is called.
func (s *Store) Follow(ctx context.Context) error {
	s.gate.heartbeat()
	beats, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.gate.heartbeatUntil(beats, s.cfg.Interval/4) })
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
		s.gate.pollEnded(began, ended, err == nil, s.lastRevision())
		late = s.noteLate(late)
		// The gate ends the sleep early if this poll began before a pause: it says nothing
		// about the time since then.
		rest := backoff.Jitter(s.cfg.Interval-s.cfg.Interval/10, s.cfg.Interval/5) - time.Duration(s.gate.now()-began)
		s.gate.sleep(ctx, max(rest, s.cfg.Interval/10))
	}
	return nil
}

// poll reads on in the log, and drops the credentials that may have changed.
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
	s.drop(began)
	return nil
}

// prepare creates the next segment, for two reasons. Until then each poll reads the old
// segment in its place, which may be long. And a restored backup in which the last segment
// has other changes would go unnoticed. prepare may fail: the next poll tries again.
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

// Current returns nil when a decision may be made from memory, as a rule at once. It waits
// in two cases.
//
// After a start, and after this process was paused or starved for longer than two
// intervals and the margin, it waits until a poll that began later has ended, even if it
// failed, and what the poll read is in use.
//
// When a change has been known for as long without being in use, or the log does not go on
// from the last known position, it waits until the newer state is in use.
//
// Its error is that of ctx, or wraps [authz.ErrUnavailable] if nothing has proved for
// MaxStale that memory is current.
func (s *Store) Current(ctx context.Context) error { return s.gate.wait(ctx) }

// Lag is the time since the beginning of the last poll that proves memory to be current,
// or since the Store was made.
func (s *Store) Lag() time.Duration { return s.gate.lag() }

// noteLate logs when decisions begin to wait for a newer state, and when that ends.
func (s *Store) noteLate(before bool) (late bool) {
	late = s.gate.now() > s.gate.usableUntil.Load()
	switch {
	case late && !before:
		s.log.Warn("requests are answered with 503 until this replica has caught up: it does not use the changes of other replicas yet")
	case !late && before:
		s.log.Info("requests are decided again, this replica has caught up")
	}
	return late
}

// Problem is why the last poll failed, or nil.
func (s *Store) Problem() error {
	if err := s.problem.Load(); err != nil {
		return *err
	}
	return nil
}

// note logs the first of several failed polls, and the first one that succeeds again.
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
		s.log.Warn("changes of other replicas are not seen; decisions are made from memory for up to "+time.Duration(s.gate.maxStale.Load()).String(), zap.Error(err))
	case failures > 0 && !soon:
		s.log.Info("changes of other replicas are seen again", zap.Int("failures", failures))
	}
}
