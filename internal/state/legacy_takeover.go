package state

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
)

// takeOver brings what replicas of the earlier version have changed into the state.
func (s *Store) takeOver(ctx context.Context) error {
	began := time.Now()
	s.mu.Lock()
	b := &s.bridging
	placed, epoch, last := b.placed, b.epoch, b.last
	all := b.all || !b.again.IsZero() && !began.Before(b.again)
	again := b.again
	look := slices.Collect(maps.Keys(b.look))
	s.mu.Unlock()
	if !placed {
		return nil
	}
	var err error
	if all {
		err = eachLegacy(ctx, s.kv, func(e *legacyEntry) error { return s.takeEntry(ctx, e) })
	} else {
		err = s.takeEach(ctx, look)
	}
	if err != nil {
		return err
	}
	if err := s.progress(ctx, epoch, last, all || len(look) > 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range look {
		if until := b.look[c]; !began.Before(until) {
			delete(b.look, c)
		}
	}
	if all && b.again.Equal(again) {
		b.all = false
		if !began.Before(b.again) {
			b.again = time.Time{}
		}
	}
	s.publishWithheld()
	return nil
}

// takeEach takes over the entries of all changes, and returns the errors joined.
func (s *Store) takeEach(ctx context.Context, changes []Change) error {
	return eachOf(ctx, len(changes), func(ctx context.Context, i int) error {
		e, err := readLegacy(ctx, s.kv, changes[i].Kind, changes[i].ID)
		if err != nil {
			return err
		}
		return s.takeEntry(ctx, &e)
	})
}

// mostUnsaid is how many changes of credentials may pass before the progress is written to
// the state. If the log has lost them by the next start, all entries are read.
const mostUnsaid = 50

// progress writes to the state up to which change it has what is in format 1.
func (s *Store) progress(ctx context.Context, epoch string, last int, entities bool) error {
	if b := s.view.Load().bridge; b == nil || b.epoch == epoch && (last <= b.last || !entities && last-b.last < mostUnsaid) {
		return nil
	}
	_, err := s.Update(ctx, func(tx *Tx) error {
		b := tx.view.bridge
		if b == nil || b.epoch == epoch && b.last >= last {
			return nil
		}
		c := b.change()
		c.Key, c.Version = epoch, last
		return tx.add(c)
	})
	return err
}

// takeEntry takes over one entry, unless the state has it.
func (s *Store) takeEntry(ctx context.Context, e *legacyEntry) error {
	fresh := func(v *View) bool {
		return v.bridge != nil && !e.missing && e.mirrored() == 0 && e.written() > v.entry(e.kind, e.id).from
	}
	if !fresh(s.view.Load()) {
		return nil
	}
	var problem string
	_, err := s.Update(ctx, func(tx *Tx) error {
		if problem = ""; !fresh(tx.view) {
			return nil
		}
		var c change
		if c, problem = tx.view.takenOver(e); c.Op == "" {
			return nil
		}
		return tx.add(c)
	})
	if err == nil && problem != "" {
		s.reportOnce(e.kind, e.id, problem)
		s.mu.Lock()
		// It is tried again until an operator resolves it.
		s.bridging.look[Change{Kind: e.kind, ID: e.id}] = time.Now().Add(s.cfg.dropAgainFor())
		s.mu.Unlock()
	}
	return err
}

const (
	nameProblem = "a name was given to two records, one through each version; the one of the earlier version is left out, or goes by its id, until one of them is renamed or deleted"
	bothProblem = "a record was changed through both versions at the same time; what was written through this version stands"
)

// takenOver returns the change that takes an entry over; if it has no operation, nothing is
// to be changed. See [Store.fit] for names that belong to another record.
func (v *View) takenOver(e *legacyEntry) (c change, problem string) {
	known := v.entry(e.kind, e.id)
	_, missing := v.Get(e.kind, e.id)
	remove := change{Op: opDelete, Kind: e.kind, ID: e.id, From: e.written()}
	if e.Deleted {
		return remove, ""
	}
	if known.changed > 0 {
		return change{}, bothProblem // the mirror writes over it
	}
	r, err := e.record()
	if err != nil {
		return change{}, "a record of the earlier version is malformed"
	}
	if v.taken(r) != "" {
		if !goesByID(r.Kind) {
			if missing != nil {
				return change{}, nameProblem
			}
			// To keep the record as it was would be wrong as well.
			remove.From = known.from
			return remove, nameProblem
		}
		r, problem = v.withoutTaken(r), nameProblem
	}
	c = put(r)
	c.From = e.written()
	return c, problem
}

// reportOnce logs a problem of a record that an operator has to resolve.
func (s *Store) reportOnce(kind, id, problem string) {
	s.mu.Lock()
	key := problem + entryKey(kind, id)
	before := s.bridging.reported[key]
	s.bridging.reported[key] = true
	s.mu.Unlock()
	if !before {
		s.log.Error(problem, zap.String("kind", kind), zap.String("id", id))
	}
}
