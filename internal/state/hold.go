package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// holdPoll is how long who waits for a hold waits before the log is read again.
const holdPoll = 25 * time.Millisecond

// forget drops holds that were never done, long after anyone waits for them.
func (v *View) forget(now time.Time) {
	for key, h := range v.holds {
		if now.Sub(h.seen) > forgetHolds {
			delete(v.holds, key)
		}
	}
}

// forgetHolds is longer than any grace.
const forgetHolds = 5 * time.Minute

var errHeld = errors.New("another change of the credential is under way")

// Take waits until nobody else changes the credential of an access token, on any
// replica, announces that it changes, and calls do. do makes its one write by handing
// it to commit, and must not write otherwise.
//
// commit calls write with a context that ends before somebody else may write, and
// returns its error. If the time is over it does not call write, and its error wraps
// [ErrConflict]: do may be tried again in a new Take. An error of write counts as an
// unknown outcome unless it wraps ErrConflict.
//
// Take returns the error of do, or one that wraps [authz.ErrUnavailable] if do was not
// called.
//
// KV v1 has no check-and-set, and KV v2 forgets the versions of what is deleted:
// without this, two replicas can both create one access token, and a rotation can
// bring back what was deleted meanwhile. What bounds it where the engine of the
// credentials cannot help: write's context ends WriteWithin after the moment before
// the hold was asked for, and who waits does so for at least twice as long, by its own
// clock. What is left is a process that is stopped for the difference between two of
// its instructions, or a server that does a write so long after its client has hung
// up. The same holds after a crash, or a write whose outcome is unknown: the others
// wait for the grace, once.
func (s *Store) Take(ctx context.Context, accessToken string, do func(commit func(ctx context.Context, write func(context.Context) error) error) error) error {
	held := &held{by: rand.Text()}
	if err := s.hold(ctx, accessToken, held); err != nil {
		return err
	}
	defer s.done(accessToken, held) //nolint:contextcheck // nobody waits for it
	if s.view.Load().bridge != nil {
		_ = s.announce(ctx, Change{Kind: KindCredentials, ID: accessToken}) // a failure is logged, and hinders nothing
	}
	return do(held.commit)
}

// A held is a hold of one call of Take.
type held struct {
	by       string
	deadline time.Time
	// inDoubt: the write may happen yet.
	inDoubt bool
}

func (s *Store) hold(ctx context.Context, key string, h *held) error {
	for {
		h.deadline = time.Now().Add(s.cfg.WriteWithin)
		_, err := s.Update(ctx, func(tx *Tx) error {
			if other, is := tx.view.holds[key]; is && other.by != h.by && time.Since(other.seen) < s.cfg.HoldGrace {
				return errHeld
			}
			return tx.add(change{Op: opHold, Key: key, By: h.by})
		})
		if !errors.Is(err, errHeld) {
			return err
		}
		if err := pause(ctx, jitter(holdPoll, holdPoll)); err != nil {
			return fmt.Errorf("waiting for another change of the credential: %w", unavailable(err))
		}
	}
}

// done lets the next one go on. Nobody waits for it: if it fails, the grace ends
// the hold.
func (s *Store) done(key string, h *held) {
	if h.inDoubt {
		return
	}
	s.enqueue(&update{outcome: make(chan outcome, 1), do: func(tx *Tx) error {
		if tx.view.holds[key].by != h.by {
			return nil
		}
		return tx.add(change{Op: opDone, Key: key, By: h.by})
	}})
}

func (h *held) commit(ctx context.Context, write func(context.Context) error) error {
	if !time.Now().Before(h.deadline) {
		return fmt.Errorf("the time to change the credential is over: %w", ErrConflict)
	}
	ctx, cancel := context.WithDeadline(ctx, h.deadline)
	defer cancel()
	h.inDoubt = true
	err := write(ctx)
	h.inDoubt = err != nil && !errors.Is(err, ErrConflict)
	return err
}
