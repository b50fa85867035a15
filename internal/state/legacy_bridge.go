package state

import (
	"context"
	"errors"
	"fmt"
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

// publishWithheld publishes the state once it may be used. The caller holds mu.
func (s *Store) publishWithheld() {
	if s.bridging.withheld {
		s.bridging.withheld = false
		s.replica.view = s.replica.view.clone() // publish writes the revision to it
		s.publish(effects{all: true})
	}
}
