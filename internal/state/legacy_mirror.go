package state

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	// mirrorAfter is when another replica mirrors a change that the one which made it
	// has not.
	mirrorAfter = 3 * time.Second
	// mirrorWithin bounds the writes after their announcement, as the earlier version
	// expects.
	mirrorWithin = 3 * time.Second
	// claimGrace is how long a claim without its record is left alone.
	claimGrace = 10 * time.Second
)

// mirrorSoon mirrors what this replica has committed. The others see to it a while after
// that, in case that this one cannot.
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

// dueNow returns changes that are not mirrored and due, and how many a second may be.
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
	s.bridging.due[entryKey(kind, id)] = time.Now().Add(claimGrace)
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
	// Lest the log of format 1 has more in a second than it can hold.
	return pause(ctx, time.Second*time.Duration(len(m.write))/time.Duration(rate))
}

// A mirroring is one round.
type mirroring struct {
	store *Store
	view  *View

	mu sync.Mutex
	// write are the keys of what has to be written, done what is.
	write []string
	done  []change
}

// each calls do for all, and returns what fails joined.
func (m *mirroring) each(ctx context.Context, keys []string, do func(ctx context.Context, kind, id string) error) error {
	var problems []error
	var mu sync.Mutex
	_ = each(ctx, len(keys), func(ctx context.Context, i int) error {
		kind, id, _ := strings.Cut(keys[i], "/")
		err := do(ctx, kind, id)
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, err)
		return nil
	})
	return errors.Join(problems...)
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

// put writes an entry. What another writer was faster with is tried in the next round.
func (m *mirroring) put(ctx context.Context, kind, id string) error {
	kv := m.store.kv
	old, err := readLegacy(ctx, kv, kind, id)
	known := m.view.entry(kind, id)
	switch {
	case errors.Is(err, authz.ErrMalformed):
		old = legacyEntry{kind: kind, id: id, version: old.version} // this mends it
	case err != nil:
		return err
	case old.mirrored() >= known.changed:
		return nil
	case !old.missing && old.mirrored() == 0 && old.written() > known.from:
		m.store.tellOnce(kind, id, bothProblem)
		if old.Deleted {
			// The deletion stands.
			return m.store.takeEntry(ctx, &old)
		}
	}
	next := legacyEntry{Deleted: true}
	if r, err := m.view.Get(kind, id); err == nil && !meansMoreInLegacy(r) {
		next = legacyEntry{Document: r.Document, Unique: slices.Sorted(slices.Values(r.Unique))}
		ok, err := m.claim(ctx, &old, &next)
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

// commit puts into the state what is mirrored.
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

// claim claims the keys that the entry does not have yet, as every writer of format 1
// does before it writes. ok is false if one of them may get another owner yet. A key that
// has one is left out where the record goes by its id then; any other record is left out,
// so that it is denied there.
func (m *mirroring) claim(ctx context.Context, old, next *legacyEntry) (ok bool, err error) {
	var mine []string
	for _, key := range next.Unique {
		if slices.Contains(old.Unique, key) {
			mine = append(mine, key)
			continue
		}
		taken, ok, err := m.claimKey(ctx, old, key)
		switch {
		case err != nil:
			return false, err
		case taken:
			m.store.tellOnce(old.kind, old.id, nameProblem)
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

// claimKey writes over a claim only where the rules of format 1 allow it: nobody has it;
// or its record was written since, without the key; or its write was given up, and can
// not happen any more.
func (m *mirroring) claimKey(ctx context.Context, old *legacyEntry, key string) (taken, ok bool, err error) {
	kv, path := m.store.kv, claimPath(old.kind, key)
	raw, version, found, err := kv.ReadVersion(ctx, path)
	if err != nil {
		return false, false, unavailable(err)
	}
	var c claim
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
		case time.Since(c.ClaimedAt).Abs() < claimGrace:
			return false, false, nil
		default:
			return false, false, m.fence(ctx, &owner)
		}
	}
	_, ok, err = writeEntry(ctx, kv, path, claim{Key: key, ID: old.id, Base: old.version, ClaimedAt: time.Now().UTC()}, version)
	if err != nil {
		return false, false, unavailable(err)
	}
	return false, ok, nil
}

// fence writes an entry again as it is, so that a write which has seen it cannot happen.
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
