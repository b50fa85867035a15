package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

// A bridging is the work of a replica while replicas of the earlier version may run on the
// same mount: it takes over what they change, and mirrors to them what is changed here.
// Guarded by the store's mu, except for announcing.
type bridging struct {
	// placed says that the log of format 1 has been read, up to last of epoch.
	placed bool
	epoch  string
	last   int
	// look are entities that were announced, and perhaps not written yet. They are read
	// in format 1 at each poll, the last time at one that began after the given time.
	look map[Change]time.Time
	// all says that every entry has to be read; again is when to do so once more.
	all   bool
	again time.Time
	// due is when this replica mirrors a change, unless another one has done so.
	due map[string]time.Time
	// withheld: the state may lack what replicas of the earlier version have changed, so
	// it is not used yet.
	withheld bool
	// running says that the goroutine of bridgeSoon runs, more that it has to do another
	// round.
	running, more bool
	// problem is why the last round failed.
	problem error
	// reported are records whose problem was logged.
	reported map[string]bool
	// met says that a replica of the earlier version has made changes.
	met bool
	// anew says that it did so after the end of the bridge, before this replica started.
	anew bool

	announcing announcing
}

func newBridging() bridging {
	return bridging{look: map[Change]time.Time{}, due: map[string]time.Time{}, reported: map[string]bool{}, announcing: announcing{most: mostAnnounced}}
}

// followLegacy reads the log of format 1 and drops the credentials that it names.
func (s *Store) followLegacy(ctx context.Context) error {
	v := s.view.Load()
	if v.bridge == nil {
		return nil
	}
	l, _, err := readLegacyLog(ctx, s.kv)
	if errors.Is(err, authz.ErrMalformed) {
		err = nil // the next change of either version creates a new log
	}
	if err != nil {
		return wrapAll(err)
	}
	s.mu.Lock()
	s.advanceLegacy(&l, v.bridge, time.Now())
	s.bridgeSoon() //nolint:contextcheck // it goes on after this reading
	err = s.withheldProblem()
	s.mu.Unlock()
	for errors.Is(err, errNotYet) && backoff.Sleep(ctx, takeOverPoll) == nil {
		s.mu.Lock()
		err = s.withheldProblem()
		s.mu.Unlock()
	}
	return err
}

// takeOverPoll is how often the first poll looks whether everything has been taken over,
// which is usually quick.
const takeOverPoll = 10 * time.Millisecond

// advanceLegacy records what is new in the log. The caller holds mu.
func (s *Store) advanceLegacy(l *legacyLog, known *bridge, now time.Time) {
	b := &s.bridging
	until := now.Add(s.cfg.dropAgainFor())
	fresh, ok := l.after(b.epoch, b.last)
	if !b.placed {
		fresh, ok = l.after(known.epoch, known.last)
	}
	if !b.met && (!ok || slices.ContainsFunc(fresh, func(c legacyChange) bool { return !c.ours() })) {
		b.met = true
		b.anew = !b.placed && now.Unix() > known.until
		s.log.Info("replicas of the earlier version have made changes; stop them before the bridge ends", zap.Time("end", time.Unix(known.until, 0)))
	}
	if !b.placed || !ok {
		fresh = l.Changes // each may have been announced without being written yet
	}
	if !ok {
		b.all, b.again = true, until
		s.watch.DropAll()
		s.dropAllAgain = until
	}
	for _, c := range fresh {
		switch {
		case c.ours():
		case c.Kind == KindCredentials:
			s.watch.Drop(c.ID)
			s.dropAgain[c.ID] = until
		case slices.Contains(entityKinds(), c.Kind) && authz.IsUUID(c.ID):
			b.look[Change{Kind: c.Kind, ID: c.ID}] = until
		}
	}
	b.placed, b.epoch, b.last = true, l.Epoch, l.Last
}

// withheldProblem says why the state may not be used yet. The caller holds mu.
func (s *Store) withheldProblem() error {
	if !s.bridging.withheld {
		return nil
	}
	if s.bridging.problem != nil {
		return fmt.Errorf("state store: %w: what replicas of the earlier version have changed cannot be taken over: %w", authz.ErrUnavailable, s.bridging.problem)
	}
	return fmt.Errorf("%w: what replicas of the earlier version have changed is being taken over", errNotYet)
}

// bridgeSoon starts a round in the background. The caller holds mu.
func (s *Store) bridgeSoon() {
	b := &s.bridging
	b.more = true
	if b.running {
		return
	}
	b.running = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), moveTimeout) //nolint:forbidigo // it belongs to no call, and is bounded
		defer cancel()
		for s.bridgeAgain() {
			s.noteBridge(s.bridgeAround(ctx))
		}
	}()
}

// bridgeAgain says whether to do another round. After a failure the next poll starts one.
func (s *Store) bridgeAgain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.bridging
	b.running = b.more
	b.more = false
	return b.running
}

func (s *Store) noteBridge(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.bridging
	switch {
	case err != nil && b.problem == nil:
		s.log.Warn("changes do not pass between this version and the earlier one", zap.Error(err))
	case err == nil && b.problem != nil:
		s.log.Info("changes pass between this version and the earlier one again")
	}
	if b.problem = err; err != nil {
		b.more = false
	}
}

func (s *Store) bridgeAround(ctx context.Context) error {
	v := s.view.Load()
	if v.bridge == nil {
		return nil
	}
	err := s.takeOver(ctx)
	if err == nil && time.Now().Unix() > v.bridge.until {
		return s.endBridge(ctx)
	}
	return errors.Join(err, s.mirror(ctx))
}

// endBridge ends the bridge for all replicas. But if this replica found at its start that
// the bridge was over and that the earlier version had made changes since, it begins the
// bridge anew: an operator had gone back to the earlier version, and now upgrades again.
func (s *Store) endBridge(ctx context.Context) error {
	s.mu.Lock()
	anew := s.bridging.anew
	s.bridging.anew = false
	s.mu.Unlock()
	var c change
	_, err := s.Update(ctx, func(tx *Tx) error {
		b := tx.view.bridge
		if c = (change{}); b == nil || time.Now().Unix() <= b.until {
			return nil
		}
		if c = b.change(); anew {
			c.Until = time.Now().Add(s.cfg.Bridge).Unix()
		} else {
			c.Until = 0
		}
		return tx.add(c)
	})
	switch {
	case err != nil || c.Op == "":
	case anew:
		s.log.Info("the bridge to the earlier version begins anew", zap.Time("end", time.Unix(c.Until, 0)))
	default:
		s.log.Info("the bridge to the earlier version has ended; changes of its replicas are ignored from now on")
	}
	return err
}

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

// publishWithheld publishes the state once it may be used. The caller holds mu.
func (s *Store) publishWithheld() {
	if s.bridging.withheld {
		s.bridging.withheld = false
		s.replica.view = s.replica.view.clone() // publish writes the revision to it
		s.publish(effects{all: true})
	}
}
