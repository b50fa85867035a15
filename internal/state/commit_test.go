package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A lateWriter fails a write to the log, and makes it a while later all the same.
type lateWriter struct {
	state.Engine
	left int
}

func (l *lateWriter) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if strings.HasPrefix(path, "log/") && l.left > 0 {
		l.left--
		document = bytes.Clone(document)
		go func() {
			time.Sleep(time.Millisecond)
			_, _, _ = l.Engine.WriteVersion(context.WithoutCancel(ctx), path, document, cas)
		}()
		return 0, false, errServer
	}
	time.Sleep(2 * time.Millisecond)
	return l.Engine.WriteVersion(ctx, path, document, cas)
}

// add is create for any goroutine.
func add(t *testing.T, n *node, r state.Record) {
	t.Helper()
	if _, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(r) }); err != nil {
		t.Errorf("Update = %v", err)
	}
}

func TestChangeThatTheServerMakesLateIsMadeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &lateWriter{Engine: memkv.New()}
		n := open(t, kv)
		create(t, n, consumer(0))
		kv.left = 1
		position := create(t, n, consumer(1))
		if v := view(t, n); v.Position() != position {
			t.Errorf("position %d, want %d", v.Position(), position)
		}
		wantConsumers(t, view(t, n), 2)
	})
}

func TestChangeIsMadeAlthoughTheServerFailsBriefly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		n := open(t, kv)
		create(t, n, consumer(0))
		kv.Fail(errServer)
		time.AfterFunc(2*time.Second, func() { kv.Fail(nil) })
		create(t, n, consumer(1))
		wantConsumers(t, view(t, n), 2)
	})
}

// The outcome of the first line may be in doubt.
func TestConcurrentChangesThatDoNotFitIntoOneLineAreAllMade(t *testing.T) {
	t.Parallel()
	for name, misled := range map[string]int{"written": 0, "in doubt": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 5
				kv := &misleading{Engine: memkv.New()}
				n := open(t, kv)
				create(t, n, consumer(0))
				kv.left = misled
				var wg sync.WaitGroup
				for i := 1; i <= calls; i++ {
					r := consumer(i)
					r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 120<<10))
					wg.Go(func() { add(t, n, r) })
				}
				wg.Wait()
				wantConsumers(t, view(t, n), 1+calls)
			})
		})
	}
}

// It does not come from what this replica knew before.
func TestErrorOfAnUpdateComesFromTheCurrentState(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	a, b := open(t, kv), open(t, kv)
	create(t, a, consumer(0), consumer(1))
	view(t, b)
	if _, err := a.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, id(1)) }); err != nil {
		t.Fatal(err)
	}
	again := consumer(1)
	again.ID = id(2)
	create(t, b, again)
	wantConsumers(t, view(t, b), 2)
}

// oneAtATime records how many writes of the log are under way at a time.
type oneAtATime struct {
	state.Engine
	mu        sync.Mutex
	now, most int
}

func (o *oneAtATime) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if strings.HasPrefix(path, "log/") {
		o.add(1)
		defer o.add(-1)
		time.Sleep(5 * time.Millisecond)
	}
	return o.Engine.WriteVersion(ctx, path, document, cas)
}

func (o *oneAtATime) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now += n
	o.most = max(o.most, o.now)
}

func TestReplicaWritesOneSegmentAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &oneAtATime{Engine: memkv.New()}
		n := open(t, kv)
		create(t, n, consumer(0))
		var wg sync.WaitGroup
		for i := 1; i < 100; i++ {
			wg.Go(func() { add(t, n, consumer(i)) })
			if i%2 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		wg.Wait()
		if kv.most != 1 {
			t.Errorf("%d writes of one replica at a time, want 1", kv.most)
		}
		wantConsumers(t, view(t, n), 100)
	})
}

// This holds in the log, and in a checkpoint.
func TestDocumentIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	n := open(t, kv)
	const document = `{"text":"<a href=\"x\">&é\u0000\\</a>"}`
	r := consumer(0)
	r.Document, r.Tags = []byte(document), []string{"<&>"}
	create(t, n, r)
	for i, where := range []string{"log", "checkpoint"} {
		fill(t, n, 1, 1+i*2*ring) // so that it is not in the log any more
		got, err := readAnew(t, kv).Get(r.Kind, r.ID)
		if err != nil || string(got.Document) != document || got.Tags[0] != r.Tags[0] {
			t.Errorf("from the %s: %+v, %v; want %s", where, got, err, document)
		}
	}
}

// The checkpoint takes long.
func TestChangesDoNotWaitForACheckpointWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := open(t, slowPieces{memkv.New()})
		began := time.Now()
		fill(t, n, 0, ring-2)
		if took := time.Since(began); took > 0 {
			t.Errorf("%d changes took %s, want no time", ring-2, took)
		}
		time.Sleep(time.Minute)
	})
}

func TestChangeThatDoesNotFitIntoOneLineIsRefused(t *testing.T) {
	t.Parallel()
	n := open(t, memkv.New())
	create(t, n, consumer(0))
	_, err := n.Update(t.Context(), func(tx *state.Tx) error {
		for i := 1; i < 4; i++ {
			r := consumer(i)
			r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 120<<10))
			if err := tx.Put(r); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, state.ErrTooLarge) {
		t.Errorf("Update = %v, want %v", err, state.ErrTooLarge)
	}
	wantConsumers(t, view(t, n), 1)
}

// This holds at every position of the log.
func TestChangeIsNotAcknowledgedWhileTheServerFails(t *testing.T) {
	t.Parallel()
	for name, sealed := range map[string]int{"at the beginning": 0, "after a segment that is full": 1, "after many": ring} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				n := open(t, kv)
				create(t, n, consumer(0))
				fill(t, n, 1, 1+sealed)
				synctest.Wait()
				kv.Fail(errServer)
				began := time.Now()
				_, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(consumer(1 + sealed)) })
				if took := time.Since(began); !errors.Is(err, authz.ErrUnavailable) || took > 10*time.Second {
					t.Errorf("Update = %v after %s, want that it is unavailable within seconds", err, took)
				}
				kv.Fail(nil)
				time.Sleep(time.Minute)
				wantConsumers(t, readAnew(t, kv), 1+sealed)
			})
		})
	}
}

func TestAbandonedUpdateIsNotCommitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &oneAtATime{Engine: memkv.New()}
		n := open(t, kv)
		create(t, n, consumer(0))
		go add(t, n, consumer(1)) // is being written
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := n.Update(ctx, func(tx *state.Tx) error { return tx.Put(consumer(2)) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update = %v, want that its context is over", err)
		}
		time.Sleep(time.Second)
		wantConsumers(t, view(t, n), 2) // the caller of the third had left
	})
}
