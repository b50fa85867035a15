package state

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// mirrorAfter is how long other replicas wait before they mirror a change that the
	// replica which made it has not mirrored.
	mirrorAfter = 3 * time.Second
	// mirrorWithin bounds the writes after their announcement, as the earlier version
	// expects.
	mirrorWithin = 3 * time.Second
	// reservationGrace is how long a reservation without its record is respected.
	reservationGrace = 10 * time.Second
)

// mirrorSoon mirrors what this replica has committed. Other replicas do so after a while,
// in case that this one cannot.
func (s *Store) mirrorSoon(b *batch) {
	if s.view.Load().bridge == nil {
		return
	}
	var e effects
	e.add(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, c := range e.changes {
		s.bridging.due[entryKey(c.Kind, c.ID)] = now
	}
	if len(e.changes) > 0 {
		s.bridgeSoon()
	}
}

// dueNow returns the keys of changes that are to be mirrored now, and how many may be
// mirrored in a second.
func (s *Store) dueNow(v *View, now time.Time) (keys []string, rate int) {
	s.bridging.announcing.mu.Lock()
	rate = s.bridging.announcing.most / 4
	s.bridging.announcing.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.bridging.due
	for key := range due {
		if _, is := v.bridge.unmirrored.Get(key); !is {
			delete(due, key)
		}
	}
	v.bridge.unmirrored.Scan(func(key string, _ entryState) bool {
		at, known := due[key]
		if !known {
			at = now.Add(mirrorAfter)
			due[key] = at
		}
		if !now.Before(at) {
			keys = append(keys, key)
		}
		return len(keys) < rate
	})
	return keys, rate
}

// mirrorLater leaves a change alone for a while.
func (s *Store) mirrorLater(kind, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bridging.due[entryKey(kind, id)] = time.Now().Add(reservationGrace)
}

// mirror writes what was changed in the state into the entries of format 1.
func (s *Store) mirror(ctx context.Context) error {
	v := s.view.Load()
	keys, rate := s.dueNow(v, time.Now())
	if len(keys) == 0 {
		return nil
	}
	m := mirroring{store: s, view: v}
	if err := m.each(ctx, keys, m.look); err != nil {
		return err
	}
	if len(m.write) > 0 {
		changes := make([]Change, len(m.write))
		for i, key := range m.write {
			changes[i].Kind, changes[i].ID, _ = strings.Cut(key, "/")
		}
		if err := s.announce(ctx, changes...); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, mirrorWithin)
		defer cancel()
		if err := m.each(bounded, m.write, m.put); err != nil {
			return err
		}
	}
	if err := m.commit(ctx); err != nil {
		return err
	}
	// The log of format 1 must not get more changes than it can hold.
	return backoff.Sleep(ctx, time.Second*time.Duration(len(m.write))/time.Duration(rate))
}

// A mirroring is one round.
type mirroring struct {
	store *Store
	view  *View

	mu sync.Mutex
	// write are the keys of entries that have to be written. done are the changes that
	// are in format 1.
	write []string
	done  []change
}

// each calls do for all keys, and returns the errors joined.
func (*mirroring) each(ctx context.Context, keys []string, do func(ctx context.Context, kind, id string) error) error {
	return eachOf(ctx, len(keys), func(ctx context.Context, i int) error {
		kind, id, _ := strings.Cut(keys[i], "/")
		return do(ctx, kind, id)
	})
}

// look finds out whether an entry has to be written.
func (m *mirroring) look(ctx context.Context, kind, id string) error {
	e, err := readLegacy(ctx, m.store.kv, kind, id)
	if err != nil && !errors.Is(err, authz.ErrMalformed) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && e.mirrored() >= m.view.entry(kind, id).changed {
		m.done = append(m.done, mirrored(&e, e.version, e.mirrored()))
	} else {
		m.write = append(m.write, entryKey(kind, id))
	}
	return nil
}

func mirrored(e *legacyEntry, version, position int) change {
	return change{Op: opMirrored, Kind: e.kind, ID: e.id, From: version, Version: position}
}

// put writes an entry. If another writer was faster, the next round tries again.
func (m *mirroring) put(ctx context.Context, kind, id string) error {
	kv := m.store.kv
	old, err := readLegacy(ctx, kv, kind, id)
	known := m.view.entry(kind, id)
	switch {
	case errors.Is(err, authz.ErrMalformed):
		old = legacyEntry{kind: kind, id: id, version: old.version} // the write repairs it
	case err != nil:
		return err
	case old.mirrored() >= known.changed:
		return nil
	case !old.missing && old.mirrored() == 0 && old.written() > known.from:
		m.store.reportOnce(kind, id, bothProblem)
		if old.Deleted {
			// The deletion stands.
			return m.store.takeEntry(ctx, &old)
		}
	}
	next := legacyEntry{Deleted: true}
	if r, err := m.view.Get(kind, id); err == nil && !meansMoreInLegacy(r) {
		next = legacyEntry{Document: r.Document, Unique: slices.Sorted(slices.Values(r.Unique))}
		ok, err := m.reserve(ctx, &old, &next)
		if err != nil {
			return err
		}
		if !ok {
			m.store.mirrorLater(kind, id)
			return nil
		}
	}
	next.WrittenAt, next.Attempt = time.Now().UTC(), mirroredBy(m.view.position)
	version, ok, err := writeEntry(ctx, kv, legacyPath(kind, id), next, old.version)
	if err != nil || !ok {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, mirrored(&old, version, m.view.position))
	return nil
}

// commit records in the state what has been mirrored.
func (m *mirroring) commit(ctx context.Context) error {
	if len(m.done) == 0 {
		return nil
	}
	_, err := m.store.Update(ctx, func(tx *Tx) error {
		for _, c := range m.done {
			if tx.view.bridge == nil || tx.view.entry(c.Kind, c.ID).from >= c.From {
				continue
			}
			if err := tx.add(c); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// reserve reserves the keys that the entry does not have yet, as each writer of format 1
// does before it writes. ok is false if another record may still get one of the keys. If
// another record has a key already, a record that goes by its id is written without the
// key; any other record is not written, so it is denied in the earlier version.
func (m *mirroring) reserve(ctx context.Context, old, next *legacyEntry) (ok bool, err error) {
	var mine []string
	for _, key := range next.Unique {
		if slices.Contains(old.Unique, key) {
			mine = append(mine, key)
			continue
		}
		taken, ok, err := m.reserveKey(ctx, old, key)
		switch {
		case err != nil:
			return false, err
		case taken:
			m.store.reportOnce(old.kind, old.id, nameProblem)
			if !goesByID(old.kind) {
				return false, nil
			}
		case !ok:
			return false, nil
		default:
			mine = append(mine, key)
		}
	}
	next.Unique = mine
	return true, nil
}

// reserveKey overwrites a reservation only where the rules of format 1 allow it: it is
// free; or its record was written since, without the key; or the write of its record was
// given up, and cannot happen any more.
func (m *mirroring) reserveKey(ctx context.Context, old *legacyEntry, key string) (taken, ok bool, err error) {
	kv, path := m.store.kv, reservationPath(old.kind, key)
	raw, version, found, err := kv.ReadVersion(ctx, path)
	if err != nil {
		return false, false, unavailable(err)
	}
	var c reservation
	if found {
		if err := decodeLegacy(raw, &c); err != nil {
			return false, false, err
		}
	}
	switch {
	case c.ID == "":
	case c.ID == old.id && c.Base >= old.version:
		return false, c.Base == old.version, nil
	case c.ID == old.id:
	default:
		owner, err := readLegacy(ctx, kv, old.kind, c.ID)
		switch {
		case err != nil:
			return false, false, err
		case slices.Contains(owner.Unique, key) && !owner.Deleted:
			return true, false, nil
		case owner.version > c.Base:
		case time.Since(c.ReservedAt).Abs() < reservationGrace:
			return false, false, nil
		default:
			return false, false, m.fence(ctx, &owner)
		}
	}
	_, ok, err = writeEntry(ctx, kv, path, reservation{Key: key, ID: old.id, Base: old.version, ReservedAt: time.Now().UTC()}, version)
	if err != nil {
		return false, false, unavailable(err)
	}
	return false, ok, nil
}

// fence writes an entry again without a change, so that a write which has read it fails.
func (m *mirroring) fence(ctx context.Context, e *legacyEntry) error {
	again := legacyEntry{Deleted: true, WrittenAt: time.Now().UTC(), Attempt: e.Attempt}
	if !e.Deleted {
		again = *e
		again.Fences++
	}
	if _, _, err := writeEntry(ctx, m.store.kv, legacyPath(e.kind, e.id), again, e.version); err != nil {
		return unavailable(err)
	}
	return nil
}
