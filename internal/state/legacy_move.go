package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// moveTimeout bounds the reading of format 1.
const moveTimeout = 10 * time.Minute

// A moving is the work of a replica that moves the state on from format 1. Guarded by the
// store's mu.
type moving struct {
	running bool
	// problem is why the last attempt failed.
	problem error
	// other is the name of another replica that moves the state, since is when this
	// replica found that, by its own clock.
	other string
	since time.Time
}

// hasLegacy says whether the mount has entries of format 1.
func hasLegacy(ctx context.Context, kv Engine) (bool, error) {
	_, _, found, err := kv.ReadVersion(ctx, changesPath)
	for _, kind := range entityKinds() {
		if found || err != nil {
			break
		}
		var names []string
		names, err = kv.ListUnder(ctx, "records/"+kind)
		found = len(names) > 0
	}
	return found, err
}

// moveSoon moves the state on from format 1 in the background, unless another replica does
// so. It always returns an error, which says why the state is not ready yet.
func (s *Store) moveSoon(writing string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.moving
	if m.other != writing {
		m.other, m.since = writing, time.Now()
	}
	if m.running || writing != "" && time.Since(m.since) < checkpointPatience {
		return moveProblem(m.problem)
	}
	m.running = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), moveTimeout) //nolint:forbidigo // it belongs to no call, and is bounded
		defer cancel()
		err := s.move(ctx, writing)
		s.mu.Lock()
		defer s.mu.Unlock()
		m.running, m.problem = false, err
		if errors.Is(err, errBusy) {
			m.problem = nil
		}
	}()
	return moveProblem(m.problem)
}

// errNotYet means that the state will be ready soon.
var errNotYet = fmt.Errorf("state store: %w: the state is not ready", authz.ErrUnavailable)

func moveProblem(err error) error {
	if err == nil {
		return fmt.Errorf("%w: it is being moved on from the format of the earlier version", errNotYet)
	}
	return fmt.Errorf("state store: %w: the state cannot be moved on from the format of the earlier version, which stays as it is: %w", authz.ErrUnavailable, err)
}

// move makes the first checkpoint from what is in format 1, which stays as it is. over is
// the name of a replica that began to do so and has taken too long, or empty.
//
// It reads everything before this replica announces itself, since reading may take long and
// blocks no other replica. So only writes come between the announcement and the end, for
// which the patience of the others is long enough. [takeCheckpoint] says why two writers at
// the same time do no harm.
//
// The number of the last change is read before the records. The bridge takes over what is
// changed later.
func (s *Store) move(ctx context.Context, over string) error {
	if err := s.kv.Sync(ctx); err != nil {
		return err
	}
	v, err := s.legacyView(ctx)
	if err != nil {
		return err
	}
	before, version, found, err := readCheckpoint(ctx, s.kv)
	switch {
	case err != nil:
		return err
	case found && !before.Moving, found && before.Writing != over:
		return errBusy
	case !found:
		before = checkpoint{Format: format, Log: rand.Text(), Set: "b", Moving: true}
	}
	if _, err := writeCheckpoint(ctx, s.kv, v, 0, before, version); err != nil {
		return err
	}
	fields := []zap.Field{zap.Time("replicas_of_both_versions_until", time.Unix(v.bridge.until, 0))}
	for _, kind := range entityKinds() {
		fields = append(fields, zap.Int(kind, v.Len(kind)))
	}
	s.log.Info("the state was moved on from the format of the earlier version, which stays as it is", fields...)
	return nil
}

// legacyView reads format 1. A malformed record is an error, as it was in the earlier
// version: without the record a request might be allowed.
func (s *Store) legacyView(ctx context.Context) (*View, error) {
	l, _, err := readLegacyLog(ctx, s.kv)
	if err != nil && !errors.Is(err, authz.ErrMalformed) {
		return nil, err
	}
	v := newView()
	v.position = 1
	v.bridge = newBridge(l.Epoch, l.Last, 0, time.Now().Add(s.cfg.Bridge).Unix())
	err = eachLegacy(ctx, s.kv, func(e *legacyEntry) error {
		v.position = max(v.position, e.version)
		if e.missing {
			return nil
		}
		if e.Deleted {
			v.setEntry(e.kind, e.id, entryState{from: e.written()})
			return nil
		}
		r, err := e.record()
		if err != nil {
			return err
		}
		s.fit(v, r)
		return nil
	})
	v.bridge.moved = v.position
	return v, err
}

// fit puts a record of format 1 into a view, even if one of its unique keys belongs to
// another record. That happens only if an operator wrote by hand, or if both versions gave
// one name at the same moment. To deny is safe: a consumer or group whose name belongs to
// another one is left out. But vault objects and policies stay without the name and go by
// their ids, since requests of a missing policy would be decided by another policy.
func (s *Store) fit(v *View, r *Record) bool {
	key := v.taken(r)
	if key == "" {
		v.set(r)
		return true
	}
	s.log.Error("a record of the earlier version has a name that belongs to another one; rename or delete one of them",
		zap.String("kind", r.Kind), zap.String("id", r.ID), zap.String("name", key))
	if !goesByID(r.Kind) {
		return false
	}
	v.set(v.withoutTaken(r))
	return true
}

func goesByID(kind string) bool { return kind == KindVaults || kind == KindPolicies }

// taken returns the first unique key of a record that another one has.
func (v *View) taken(r *Record) string {
	for _, key := range r.Unique {
		if owner, err := v.ByUnique(r.Kind, key); err == nil && owner.ID != r.ID {
			return key
		}
	}
	return ""
}

// withoutTaken returns a copy of the record without the keys that belong to other records.
func (v *View) withoutTaken(r *Record) *Record {
	c := *r
	c.Unique = nil
	for _, key := range r.Unique {
		if owner, err := v.ByUnique(r.Kind, key); err != nil || owner.ID == r.ID {
			c.Unique = append(c.Unique, key)
		}
	}
	return &c
}
