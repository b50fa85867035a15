package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// slowReads takes long for each piece of a checkpoint, and fails for some.
type slowReads struct {
	state.Engine
	reads, failures atomic.Int64
}

func (s *slowReads) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	if strings.HasPrefix(path, "checkpoint-") {
		select {
		case <-time.After(4 * time.Second):
		case <-ctx.Done():
			return nil, 0, false, ctx.Err()
		}
		if s.reads.Add(1)%5 == 0 {
			s.failures.Add(1)
			return nil, 0, false, errors.New("busy")
		}
	}
	return s.Engine.ReadVersion(ctx, path)
}

const many = 60

// large is a store with a checkpoint of many pieces.
func large(t *testing.T) *memkv.Engine {
	t.Helper()
	kv := memkv.New()
	n := open(t, kv)
	for i := range many {
		r := consumer(i)
		r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 100<<10))
		create(t, n, r)
	}
	synctest.Wait() // for the checkpoint
	return kv
}

func TestReplicaStartsAlthoughTheLoadTakesLongerThanAPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := &slowReads{Engine: large(t)}
		n := open(t, engine)
		ctx, stop := context.WithCancel(t.Context())
		followed := make(chan error)
		go func() { followed <- n.Follow(ctx) }()
		time.Sleep(loadTime)
		v, err := n.View()
		if err != nil || count(v) != many {
			t.Errorf("after %s: %d consumers, %v; want %d", loadTime, count(v), err, many)
		}
		if engine.failures.Load() == 0 {
			t.Error("no read failed, so that was not tried")
		}
		stop()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
}

// loadTime is enough for one load, and too short for two.
const loadTime = 30 * time.Second

func TestLoadGoesOnWhenItsCallersGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := large(t)
		engine := &slowReads{Engine: kv}
		n := open(t, engine)
		began := time.Now()
		for {
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			err := n.Refresh(short)
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, authz.ErrUnavailable) || time.Since(began) > loadTime {
				t.Fatalf("Refresh after %s: %v", time.Since(began), err)
			}
		}
		if v, err := n.View(); err != nil || count(v) != many {
			t.Errorf("the view: %v", err)
		}
	})
}

// A load may miss a change that is committed while it is under way.
func TestRefreshDuringALoadShowsWhatWasCommittedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		other := open(t, kv)
		create(t, other, consumer(0))
		n := open(t, &lateRead{Engine: kv, after: aWhile})
		ctx, stop := context.WithCancel(t.Context())
		followed := make(chan error)
		go func() { followed <- n.Follow(ctx) }()
		// The checkpoint and the log have been asked for, and not been answered.
		time.Sleep(2*aWhile - aWhile/2)
		create(t, other, consumer(1))
		if v := view(t, n); v.Len(state.KindConsumers) != 2 {
			t.Errorf("%d consumers after Refresh, want 2", v.Len(state.KindConsumers))
		}
		stop()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
}

func count(v *state.View) int {
	if v == nil {
		return 0
	}
	return v.Len(state.KindConsumers)
}

// Before the first load no credential was read for a decision. So after one more poll only
// credentials under a lease may have changed.
func TestReplicaThatStartsDropsLeasedCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, b := open(t, kv), open(t, kv)
		view(t, a)
		written, finish := make(chan error, 1), make(chan struct{})
		go func() {
			written <- a.LeaseCredential(t.Context(), "held", func(func(context.Context, func(context.Context) error) error) error { <-finish; return nil })
		}()
		synctest.Wait()
		ctx, stop := context.WithCancel(t.Context())
		followed := make(chan error)
		go func() { followed <- b.Follow(ctx) }()
		time.Sleep(2 * time.Second)
		held := b.drops("held")
		if b.dropsOfAll() != 2 || held < 2 {
			t.Errorf("in the first 2 s everything was dropped %d times, want 2, and the credential under a lease %d times, want more than once", b.dropsOfAll(), held)
		}
		time.Sleep(time.Second)
		close(finish)
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		before := b.drops("held")
		time.Sleep(3 * time.Second)
		if b.drops("held") == before {
			t.Error("the credential is not dropped after it was written")
		}
		if b.dropsOfAll() != 2 {
			t.Errorf("everything was dropped %d times, want 2", b.dropsOfAll())
		}
		stop()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
}
