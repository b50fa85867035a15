package state_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// slow answers Sync after a while, and counts it.
type slow struct {
	state.Engine
	takes atomic.Int64
	syncs atomic.Int64
	given atomic.Int64
}

func (s *slow) Sync(ctx context.Context) error {
	s.syncs.Add(1)
	select {
	case <-time.After(time.Duration(s.takes.Load())):
		return s.Engine.Sync(ctx)
	case <-ctx.Done():
		s.given.Add(1)
		return ctx.Err()
	}
}

const aWhile = 100 * time.Millisecond

// following is a replica that has read the state, whose server takes a while for Sync.
func following(t *testing.T, kv state.Engine) (*node, *slow) {
	t.Helper()
	engine := &slow{Engine: kv}
	n := open(t, engine)
	view(t, n)
	engine.takes.Store(int64(aWhile))
	engine.syncs.Store(0)
	return n, engine
}

func TestConcurrentRefreshesShareOneSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, engine := following(t, memkv.New())
		var calls sync.WaitGroup
		refresh := func() {
			calls.Go(func() {
				if err := n.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh: %v", err)
				}
			})
		}
		refresh()
		synctest.Wait()
		for range 500 {
			refresh()
		}
		began := time.Now()
		calls.Wait()
		if got := engine.syncs.Load(); got != 2 {
			t.Errorf("%d exchanges for one call and 500 during it, want 2", got)
		}
		if took := time.Since(began); took != 2*aWhile {
			t.Errorf("all took %s, want that of two exchanges", took)
		}
	})
}

// The result of a call may lack a change that is committed while the call is under way.
func TestRefreshShowsWhatWasCommittedBeforeItWasCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		late := &lateRead{Engine: kv}
		n, _ := following(t, late)
		other := open(t, kv)
		late.after = aWhile
		for i := range 20 {
			var calls sync.WaitGroup
			calls.Go(func() { _ = n.Refresh(t.Context()) })
			time.Sleep(aWhile + aWhile/2) // it has read, and has not been answered
			create(t, other, consumer(i))
			calls.Go(func() {
				if err := n.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh: %v", err)
					return
				}
				if v, err := n.View(); err != nil || v.Len(state.KindConsumers) != i+1 {
					t.Errorf("%d consumers after Refresh (%v), want %d: it was answered by an exchange that began before the last was made", v.Len(state.KindConsumers), err, i+1)
				}
			})
			calls.Wait()
		}
	})
}

// lateRead answers a read late, with what was there when it was asked.
type lateRead struct {
	state.Engine
	after time.Duration
}

func (l *lateRead) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	raw, version, found, err := l.Engine.ReadVersion(ctx, path)
	time.Sleep(l.after)
	return raw, version, found, err
}

func TestContextOfACallerEndsOnlyItsOwnWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, engine := following(t, memkv.New())
		short, cancel := context.WithTimeout(t.Context(), aWhile/2)
		defer cancel()
		var calls sync.WaitGroup
		wait := func(ctx context.Context, want bool) {
			calls.Go(func() {
				err := n.Refresh(ctx)
				if (err == nil) != want || err != nil && !errors.Is(err, authz.ErrUnavailable) {
					t.Errorf("Refresh: %v, want success: %t, else that it is unavailable", err, want)
				}
			})
		}
		wait(t.Context(), true)
		synctest.Wait()
		// These two share the next exchange. The one that began it gives up.
		wait(short, false)
		synctest.Wait()
		wait(t.Context(), true)
		calls.Wait()
		if engine.syncs.Load() != 2 || engine.given.Load() != 0 {
			t.Errorf("%d exchanges, %d of them given up, want 2 that went on", engine.syncs.Load(), engine.given.Load())
		}
	})
}

func TestSharedCallIsCancelledWhenItsLastCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, engine := following(t, memkv.New())
		engine.takes.Store(int64(time.Hour))
		for range 3 {
			short, cancel := context.WithTimeout(t.Context(), aWhile)
			if err := n.Refresh(short); !errors.Is(err, authz.ErrUnavailable) {
				t.Errorf("Refresh: %v, want that it is unavailable", err)
			}
			cancel()
			synctest.Wait()
		}
		if engine.given.Load() != 3 {
			t.Errorf("%d of 3 exchanges were given up", engine.given.Load())
		}
		engine.takes.Store(0)
		if err := n.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh after that: %v", err)
		}
	})
}

func TestRefreshDoesNotWaitLongForACallThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		n, engine := following(t, kv)
		engine.takes.Store(int64(time.Hour))
		hanging, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		go func() { _ = n.Refresh(hanging) }()
		synctest.Wait()
		engine.takes.Store(0)
		began := time.Now()
		if err := n.Refresh(t.Context()); err != nil || time.Since(began) > time.Second/2 {
			t.Errorf("Refresh beside one that hangs: %v after %s", err, time.Since(began))
		}
		// What follows the log, and a commit, do not wait at all.
		go func() { _ = n.Refresh(hanging) }()
		began = time.Now()
		create(t, n, consumer(1))
		if took := time.Since(began); took > 0 {
			t.Errorf("a commit took %s beside an exchange that hangs", took)
		}
		giveUp()
		synctest.Wait()
	})
}
