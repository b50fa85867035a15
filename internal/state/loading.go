package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// A loading is one load of the whole state, for all callers that need it.
type loading struct {
	done chan struct{}
	err  error
}

// loadTimeout bounds a load. A large state takes long, so a load goes on when its callers
// give up.
const loadTimeout = 2 * time.Minute

// load reads the whole state, unless another load has already replaced the replica that
// was found behind. It drops all credentials first: any of them may have changed.
func (s *Store) load(ctx context.Context, behind *replica) error {
	s.mu.Lock()
	if s.replica != behind {
		s.mu.Unlock()
		return nil
	}
	l := s.loading
	if l == nil {
		l = &loading{done: make(chan struct{})}
		s.loading = l
		if behind != nil {
			s.gate.logLost()
			s.watch.DropAll()
		}
		go s.finish(context.WithoutCancel(ctx), l, behind)
	}
	s.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// finish loads, and ends l.
func (s *Store) finish(ctx context.Context, l *loading, behind *replica) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	l.err = errPanicked
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("reading the state caused a panic in this program; please report it", zap.String("panic", fmt.Sprintf("%T", p)))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if behind != nil {
			s.gate.reloaded(l.err == nil, s.revision)
		}
		s.loading = nil
		close(l.done)
	}()
	l.err = s.loadAll(ctx, behind)
}

var errPanicked = fmt.Errorf("state store: %w: reading it caused a panic in this program", authz.ErrUnavailable)

// maxLoads bounds how often a load starts over because a checkpoint was written meanwhile.
const maxLoads = 5

func (s *Store) loadAll(ctx context.Context, behind *replica) error {
	var err error
	for range maxLoads {
		var r *replica
		if r, err = s.readAll(ctx); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if behind != nil {
				s.log.Warn("the whole state was read again: the log does not go on from the last known position, as after a restored backup or a long pause", zap.Int("position", r.view.position))
				r.tail.generation = behind.tail.generation + 1
			}
			s.replica = r
			s.bridging.withheld = r.view.bridge != nil && s.shown.Load() == nil
			s.publish(effects{all: true, first: behind == nil, leased: slices.Collect(maps.Keys(r.view.leases))})
			return nil
		}
		if !errors.Is(err, errBehind) {
			return err
		}
	}
	return fmt.Errorf("state store: %w: the checkpoint and the log do not fit together: %w; if a backup was restored in part, restore all of the mount", authz.ErrUnavailable, err)
}

// readAll reads the checkpoint and the log after it.
func (s *Store) readAll(ctx context.Context) (*replica, error) {
	latest, _, found, err := readCheckpoint(ctx, s.kv)
	switch {
	case err != nil:
		return nil, wrapAll(err)
	case !found, latest.Moving:
		if err := s.begin(ctx); err != nil {
			return nil, err
		}
		return nil, errBehind
	}
	v, err := loadView(ctx, s.kv, &latest, time.Now())
	if err != nil {
		return nil, wrapAll(err)
	}
	r := &replica{log: latest.Log, view: v, checkpoint: latest, tail: tail{number: latest.Segment, version: -1}}
	for {
		number := r.tail.number
		raw, version, found, err := s.kv.ReadVersion(ctx, segmentPath(number))
		if err != nil {
			return nil, unavailable(err)
		}
		more, _, err := r.accept(number, reading{raw: raw, version: version, found: found}, time.Now())
		if err != nil {
			return nil, wrapAll(err)
		}
		if !more {
			return r, nil
		}
	}
}

func wrapAll(err error) error {
	if errors.Is(err, errBehind) {
		return err
	}
	if errors.Is(err, errNewer) || errors.Is(err, authz.ErrMalformed) {
		return wrapLog(err)
	}
	return unavailable(err)
}

// begin creates the log, unless another replica is faster.
func (s *Store) begin(ctx context.Context) error {
	latest, version, found, err := readCheckpoint(ctx, s.kv)
	if err == nil && (!found || latest.Moving) {
		var legacy bool
		if legacy, err = hasLegacy(ctx, s.kv); err == nil && (legacy || latest.Moving) {
			return s.moveSoon(latest.Writing) //nolint:contextcheck // it goes on after this reading
		}
		if err == nil {
			_, _, err = writeEntry(ctx, s.kv, checkpointPath, checkpoint{Format: format, Log: rand.Text(), Set: "a"}, version)
		}
	}
	if err != nil {
		return wrapAll(err)
	}
	return nil
}
