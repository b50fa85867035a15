package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// announceWithin bounds how long a change waits for its announcement to replicas of
	// the earlier version.
	announceWithin = time.Second
	// mostAnnounced bounds the changes in the log of format 1. fewAnnounced is the bound
	// for a server that refuses so many: OpenBao accepts 1,000 strings in a body, and a
	// change has seven. Replicas that have missed some read everything.
	mostAnnounced, fewAnnounced = 800, 100
	// announcedFor is how long a change stays in the log, if there is room.
	announcedFor = time.Minute
)

// An announcing writes changes to the log of format 1. Changes at the same time share a
// write. It has a lock of its own.
type announcing struct {
	mu      sync.Mutex
	waiting []*announcement
	running bool
	most    int
	failed  bool
}

type announcement struct {
	changes []Change
	// outcome receives one value.
	outcome chan error
}

// announce tells replicas of the earlier version what is about to change. A failure is
// logged.
func (s *Store) announce(ctx context.Context, changes ...Change) error {
	a := &s.bridging.announcing
	own := &announcement{changes: changes, outcome: make(chan error, 1)}
	a.mu.Lock()
	a.waiting = append(a.waiting, own)
	start := !a.running
	a.running = true
	a.mu.Unlock()
	if start {
		go s.announceAll() //nolint:contextcheck // it is for all that wait
	}
	ctx, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	var err error
	select {
	case err = <-own.outcome:
	case <-ctx.Done():
		err = unavailable(ctx.Err())
	}
	s.noteAnnounced(err)
	return err
}

func (s *Store) noteAnnounced(err error) {
	a := &s.bridging.announcing
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil && !a.failed:
		s.log.Warn("replicas of the earlier version do not learn of changes at once", zap.Error(err))
	case err == nil && a.failed:
		s.log.Info("replicas of the earlier version learn of changes again")
	}
	a.failed = err != nil
}

// announceAll writes until no announcement waits.
func (s *Store) announceAll() {
	a := &s.bridging.announcing
	for {
		a.mu.Lock()
		group := a.waiting
		a.waiting = nil
		a.running = len(group) > 0
		most := a.most
		a.mu.Unlock()
		if len(group) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), announceWithin) //nolint:forbidigo // it is for all that wait, and bounded
		err := s.writeLegacyLog(ctx, group, most)
		if err != nil && ctx.Err() == nil && most > fewAnnounced && !errors.Is(err, errNewer) {
			a.mu.Lock()
			a.most = fewAnnounced
			a.mu.Unlock()
			err = s.writeLegacyLog(ctx, group, fewAnnounced)
		}
		cancel()
		for _, w := range group {
			w.outcome <- err
		}
	}
}

// writeLegacyLog appends to the log of format 1.
func (s *Store) writeLegacyLog(ctx context.Context, group []*announcement, most int) error {
	for {
		l, version, err := readLegacyLog(ctx, s.kv)
		if err != nil && !errors.Is(err, authz.ErrMalformed) {
			return err
		}
		if l.Epoch == "" {
			l.Epoch = rand.Text() // with a new log they read everything
		}
		l.add(group, most, time.Now())
		_, ok, err := writeEntry(ctx, s.kv, changesPath, l, version)
		if err != nil {
			return unavailable(err)
		}
		if ok {
			return nil
		}
		if err := errors.Join(backoff.Sleep(ctx, backoff.Jitter(0, 10*time.Millisecond)), s.kv.Sync(ctx)); err != nil {
			return fmt.Errorf("other replicas were faster: %w", unavailable(err))
		}
	}
}

// add appends changes and removes the oldest.
func (l *legacyLog) add(group []*announcement, most int, now time.Time) {
	for _, a := range group {
		for _, c := range a.changes {
			l.Changes = append(l.Changes, legacyChange{At: now.Unix(), Kind: c.Kind, ID: c.ID, Vault: mirrorMark})
			l.Last++
		}
	}
	first := max(0, len(l.Changes)-most)
	for first < len(l.Changes) && l.Changes[first].At < now.Add(-announcedFor).Unix() {
		first++
	}
	l.Changes = l.Changes[first:]
}
