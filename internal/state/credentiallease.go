package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// leasePoll is how long a call that waits for a lease sleeps between two looks at the log.
const leasePoll = 25 * time.Millisecond

// dropOldLeases removes leases that were never released, long after any call waits for them.
func (v *View) dropOldLeases(now time.Time) {
	for key, l := range v.leases {
		if now.Sub(l.seen) > oldLease {
			delete(v.leases, key)
		}
	}
}

// oldLease is longer than any grace.
const oldLease = 5 * time.Minute

var errLeased = errors.New("another change of the credential is under way")

// LeaseCredential gives its caller the right to change the credential of an access token,
// which one call on all replicas has at a time. It waits for the lease, announces that the
// credential changes, and calls do. do hands its one write to commit, and must not write
// in any other way.
//
// commit calls write with a context that ends before another call may write, and returns
// its error. If the lease has expired, commit does not call write, and its error wraps
// [ErrConflict]: do may be tried again with a new lease. An error of write counts as an
// unknown outcome unless it wraps ErrConflict.
//
// LeaseCredential returns the error of do, or one that wraps [authz.ErrUnavailable] if do
// was not called.
//
// Without the lease two replicas could both create one access token, and a rotation could
// bring back what was deleted meanwhile: KV v1 has no check-and-set, and KV v2 forgets the
// versions of a deleted entry. Where the engine of the credentials cannot help, time
// bounds the lease. The context of write ends WriteWithin after the lease was requested.
// Other calls wait at least twice as long, by their own clocks. Two cases are not covered:
// a process that is paused for longer than that margin between its check of the lease and
// its write, and a server that carries out a write that long after its client gave up.
// After a crash, or a write whose outcome is unknown, the others wait for the grace once.
func (s *Store) LeaseCredential(ctx context.Context, accessToken string, do func(commit func(ctx context.Context, write func(context.Context) error) error) error) error {
	own := &ownLease{by: rand.Text()}
	if err := s.acquire(ctx, accessToken, own); err != nil {
		return err
	}
	defer s.release(accessToken, own) //nolint:contextcheck // nobody waits for it
	if s.view.Load().bridge != nil {
		_ = s.announce(ctx, Change{Kind: KindCredentials, ID: accessToken}) // a failure is logged, and the change goes on
	}
	return do(own.commit)
}

// An ownLease is the lease of one call of LeaseCredential.
type ownLease struct {
	by      string
	expires time.Time
	// inDoubt: the write may happen yet.
	inDoubt bool
}

func (s *Store) acquire(ctx context.Context, key string, own *ownLease) error {
	for {
		own.expires = time.Now().Add(s.cfg.WriteWithin)
		_, err := s.Update(ctx, func(tx *Tx) error {
			if other, is := tx.view.leases[key]; is && other.by != own.by && time.Since(other.seen) < s.cfg.LeaseGrace {
				return errLeased
			}
			return tx.add(change{Op: opLease, Key: key, By: own.by})
		})
		if !errors.Is(err, errLeased) {
			return err
		}
		if err := backoff.Sleep(ctx, backoff.Jitter(leasePoll, leasePoll)); err != nil {
			return fmt.Errorf("waiting for another change of the credential: %w", unavailable(err))
		}
	}
}

// release lets the next call go on. It does not wait: if it fails, the grace ends the lease.
func (s *Store) release(key string, own *ownLease) {
	if own.inDoubt {
		return
	}
	s.enqueue(&update{outcome: make(chan outcome, 1), do: func(tx *Tx) error {
		if tx.view.leases[key].by != own.by {
			return nil
		}
		return tx.add(change{Op: opRelease, Key: key, By: own.by})
	}})
}

func (own *ownLease) commit(ctx context.Context, write func(context.Context) error) error {
	if !time.Now().Before(own.expires) {
		return fmt.Errorf("the time to change the credential is over: %w", ErrConflict)
	}
	ctx, cancel := context.WithDeadline(ctx, own.expires)
	defer cancel()
	own.inDoubt = true
	err := write(ctx)
	own.inDoubt = err != nil && !errors.Is(err, ErrConflict)
	return err
}
