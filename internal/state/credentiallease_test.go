package state_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// The times of the default configuration.
const (
	writeWithin = 3 * time.Second
	leaseGrace  = 6 * time.Second
)

// commits is what is done under a lease.
type commits = func(commit func(context.Context, func(context.Context) error) error) error

func nothing(func(context.Context, func(context.Context) error) error) error { return nil }

// writing writes with an outcome.
func writing(outcome error) commits {
	return func(commit func(context.Context, func(context.Context) error) error) error {
		return commit(context.Background(), func(context.Context) error { return outcome })
	}
}

// It waits for the end of the write, or for the grace if the outcome is unknown.
func TestNextLeaseWaitsUntilTheWriteBeforeItMustBeOver(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		do    commits
		want  error
		waits time.Duration
	}{
		{"nothing was written", nothing, nil, 0},
		{"it was written", writing(nil), nil, 0},
		{"it was refused", writing(state.ErrConflict), state.ErrConflict, 0},
		{"the outcome is unknown", writing(errServer), errServer, leaseGrace},
		{"the write panics", func(commit func(context.Context, func(context.Context) error) error) (err error) {
			defer func() { _ = recover() }()
			return commit(context.Background(), func(context.Context) error { panic("boom") })
		}, nil, leaseGrace},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				a, b := open(t, kv), open(t, kv)
				if err := a.LeaseCredential(t.Context(), "token", test.do); !errors.Is(err, test.want) {
					t.Fatalf("Take = %v, want %v", err, test.want)
				}
				synctest.Wait()
				began := time.Now()
				if err := b.LeaseCredential(t.Context(), "token", nothing); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < test.waits || took > test.waits+100*time.Millisecond {
					t.Errorf("the next one waited for %s, want %s", took, test.waits)
				}
				time.Sleep(time.Second) // for what goes on in the background
			})
		})
	}
}

// The context of the write ends by then.
func TestWriteIsNotMadeAfterItsLeaseHasExpired(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, writeWithin - 1, writeWithin} {
		synctest.Test(t, func(t *testing.T) {
			n := open(t, memkv.New())
			began, written := time.Now(), false
			err := n.LeaseCredential(t.Context(), "token", func(commit func(context.Context, func(context.Context) error) error) error {
				time.Sleep(late)
				return commit(t.Context(), func(ctx context.Context) error {
					written = true
					if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(began) != writeWithin {
						t.Errorf("the write may take until %s after the lease was asked for, want %s", deadline.Sub(began), writeWithin)
					}
					return nil
				})
			})
			if want := late < writeWithin; written != want || (err == nil) != want || !want && !errors.Is(err, state.ErrConflict) {
				t.Errorf("after %s: written %t, %v; want it: %t", late, written, err, want)
			}
			time.Sleep(time.Second) // for what goes on in the background
		})
	}
}

func TestCallThatGivesUpWaitingForALeaseDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, b := open(t, kv), open(t, kv)
		err := a.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := b.LeaseCredential(ctx, "token", func(func(context.Context, func(context.Context) error) error) error {
				t.Error("the credential is changed by two at a time")
				return nil
			})
			if !errors.Is(err, authz.ErrUnavailable) {
				t.Errorf("Take = %v, want that it is unavailable", err)
			}
			// Another credential is not in the way.
			return b.LeaseCredential(t.Context(), "another token", nothing)
		})
		if err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // for what goes on in the background
	})
}
