package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func newChanges(t *testing.T, kv vaultkv.Versioned, edit func(*vaultkv.ChangesConfig)) (*vaultkv.Changes, *observer.ObservedLogs) {
	t.Helper()
	c := vaultkv.DefaultChangesConfig()
	if edit != nil {
		edit(&c)
	}
	log, logs := newLog()
	changes, err := vaultkv.NewChanges(kv, c, log)
	if err != nil {
		t.Fatalf("NewChanges: %v", err)
	}
	return changes, logs
}

func change(n int) authz.Change { return authz.Change{Kind: authz.KindConsumers, ID: id(n)} }

// A replica follows the log until its test ends.
type replica struct {
	*vaultkv.Changes
	logs *observer.ObservedLogs
	stop func()

	mu      sync.Mutex
	seen    map[authz.Change][]time.Duration
	reloads []time.Duration
	failing error
	born    time.Time
}

func follow(t *testing.T, kv vaultkv.Versioned, edit func(*vaultkv.ChangesConfig)) *replica {
	t.Helper()
	changes, logs := newChanges(t, kv, edit)
	ctx, cancel := context.WithCancel(t.Context())
	r := &replica{Changes: changes, logs: logs, seen: map[authz.Change][]time.Duration{}, born: time.Now()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := changes.Follow(ctx, r.apply, r.reload); err != nil {
			t.Errorf("Follow = %v, want nil", err)
		}
	}()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(r.stop)
	return r
}

func (r *replica) apply(changes []authz.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ch := range changes {
		r.seen[ch] = append(r.seen[ch], time.Since(r.born))
	}
}

func (r *replica) reload(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reloads = append(r.reloads, time.Since(r.born))
	return r.failing
}

func (r *replica) of(ch authz.Change) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen[ch])
}

func (r *replica) reloaded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.reloads)
}

func (r *replica) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = err
}

// changesConformance is what the log does on any engine, in real time.
func changesConformance(t *testing.T, kv vaultkv.Versioned) {
	t.Helper()
	fast := func(c *vaultkv.ChangesConfig) { c.Interval = 20 * time.Millisecond }
	one, two := follow(t, kv, fast), follow(t, kv, fast)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			if err := []*replica{one, two}[n%2].Append(t.Context(), change(n)); err != nil {
				t.Errorf("Append = %v", err)
			}
		})
	}
	wg.Wait()
	for n := range 20 {
		for _, r := range []*replica{one, two} {
			wait(t, "a change", func() error {
				if len(r.of(change(n))) == 0 {
					return fmt.Errorf("change %d is not seen", n)
				}
				return nil
			})
		}
	}
	if err := one.Current(t.Context()); err != nil {
		t.Errorf("Current = %v", err)
	}
	one.stop()
	two.stop()
}

// manyAtOnce lets 64 changes be announced through two replicas at one moment.
func manyAtOnce(t *testing.T, kv vaultkv.Versioned) (took []time.Duration) {
	t.Helper()
	one, _ := newChanges(t, kv, nil)
	two, _ := newChanges(t, kv, nil)
	took = make([]time.Duration, 64)
	began := time.Now()
	var wg sync.WaitGroup
	for n := range took {
		wg.Go(func() {
			logged := func(ctx context.Context) error {
				took[n] = time.Since(began)
				raw, _, _, err := kv.ReadVersion(ctx, "changes")
				if err == nil && !strings.Contains(string(raw), id(n)) {
					err = errors.New("a change is made that is not in the log")
				}
				return err
			}
			if err := []*vaultkv.Changes{one, two}[n%2].Announce(t.Context(), logged, change(n)); err != nil {
				t.Errorf("Announce of change %d = %v", n, err)
			}
		})
	}
	wg.Wait()
	raw, _, _, _ := kv.ReadVersion(t.Context(), "changes")
	for n := range took {
		if strings.Count(string(raw), id(n)) != 1 {
			t.Errorf("change %d is in the log %d times, want once", n, strings.Count(string(raw), id(n)))
		}
	}
	slices.Sort(took)
	return took
}

func TestChangesInMemory(t *testing.T) {
	t.Parallel()
	changesConformance(t, memkv.New())
}

func TestChangeIsHandedOutAgainForAsLongAsItMayBeMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		r := follow(t, kv, nil)
		other, _ := newChanges(t, kv, nil)
		time.Sleep(20 * time.Second)
		logged := time.Since(r.born)
		wantErr(t, "Append", other.Append(t.Context(), change(1)), nil)
		time.Sleep(20 * time.Second)
		at := r.of(change(1))
		if len(at) < 5 || len(at) > 7 {
			t.Fatalf("the change was handed out %d times, want about once a second for 5s: %v", len(at), at)
		}
		if first := at[0] - logged; first > 1100*time.Millisecond {
			t.Errorf("first seen after %s, want at most an interval and a tenth", first)
		}
		if last := at[len(at)-1] - at[0]; last < 5*time.Second || last > 6200*time.Millisecond {
			t.Errorf("last handed out %s after the first time, want 5s and less than one more interval", last)
		}
		if n := r.reloaded(); n != 2 {
			t.Errorf("reload was called %d times, want 2: at the start, and again", n)
		}
		r.stop()
	})
}

func TestLastLookAtAChangeWaitsForTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		r := follow(t, kv, nil)
		wantErr(t, "Append", r.Append(t.Context(), change(1)), nil)
		time.Sleep(1500 * time.Millisecond)
		before := len(r.of(change(1)))
		kv.Fail(errGone)
		time.Sleep(time.Minute)
		if lag := r.Lag(); lag < time.Minute {
			t.Errorf("Lag = %s, want more than the minute without the store", lag)
		}
		kv.Fail(nil)
		time.Sleep(5 * time.Second)
		at := r.of(change(1))
		if len(at) != before+1 || at[len(at)-1] < time.Minute {
			t.Errorf("handed out at %v, want once more when the store was back", at)
		}
		if lag := r.Lag(); lag > 1100*time.Millisecond {
			t.Errorf("Lag = %s, want at most an interval", lag)
		}
		if got := strings.Join(lines(r.logs), "\n"); r.logs.Len() != 2 || !strings.Contains(got, "seen again") {
			t.Errorf("log:\n%s\nwant one line for each way", got)
		}
		r.stop()
	})
}

func TestWhoCannotKnowWhatChangedReloads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		while func(t *testing.T, kv *memkv.Engine, other *vaultkv.Changes)
		want  bool
	}{
		{"nothing", func(*testing.T, *memkv.Engine, *vaultkv.Changes) {}, false},
		{"a few changes", func(t *testing.T, _ *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			wantErr(t, "Append", other.Append(t.Context(), change(7), change(8), change(9)), nil)
		}, false},
		{"as many as the log holds", func(t *testing.T, _ *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			for n := range 10 {
				wantErr(t, "Append", other.Append(t.Context(), change(10+n)), nil)
			}
		}, false},
		{"more than the log holds", func(t *testing.T, _ *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			for n := range 11 {
				wantErr(t, "Append", other.Append(t.Context(), change(10+n)), nil)
			}
		}, true},
		{"more at once than the log holds", func(t *testing.T, _ *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			wantErr(t, "Append", other.Append(t.Context(), slices.Repeat([]authz.Change{change(7)}, 11)...), nil)
		}, true},
		{"another log", func(t *testing.T, kv *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			_ = kv.Delete(t.Context(), "changes")
			wantErr(t, "Append", other.Append(t.Context(), change(7), change(8), change(9)), nil)
		}, true},
		{"no log any more", func(t *testing.T, kv *memkv.Engine, _ *vaultkv.Changes) {
			t.Helper()
			_ = kv.Delete(t.Context(), "changes")
		}, true},
		{"the log of a while ago", func(t *testing.T, kv *memkv.Engine, _ *vaultkv.Changes) {
			t.Helper()
			kv.Put("changes", []byte(`{"epoch":"x","last":2,"changes":[{"at":1,"kind":"consumers","id":"a"}]}`))
		}, true},
		{"a damaged log that a writer mended", func(t *testing.T, kv *memkv.Engine, other *vaultkv.Changes) {
			t.Helper()
			kv.Put("changes", []byte(`{"epoch":5}`))
			wantErr(t, "Append", other.Append(t.Context(), change(7)), nil)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				small := func(c *vaultkv.ChangesConfig) { c.MaxEntries = 10 }
				kv.Put("changes", []byte(`{"epoch":"x","last":3,"changes":[{"at":1,"kind":"consumers","id":"a"}]}`))
				r := follow(t, kv, small)
				other, _ := newChanges(t, kv, small)
				time.Sleep(10 * time.Second)
				before := r.reloaded()
				tt.while(t, kv, other)
				time.Sleep(1200 * time.Millisecond)
				if got := r.reloaded() > before; got != tt.want {
					t.Errorf("reload called: %t, want %t", got, tt.want)
				}
				time.Sleep(10 * time.Second)
				if got := r.reloaded() - before; tt.want && got != 2 {
					t.Errorf("reload called %d times, want 2: what was logged may not have been made at the first", got)
				}
				r.stop()
			})
		})
	}
}

func TestFailedReloadIsDoneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		wantErr(t, "Append", follow(t, kv, nil).Append(t.Context(), change(1)), nil)
		r := follow(t, kv, nil)
		time.Sleep(10 * time.Second)
		r.fail(errGone)
		kv.Put("changes", []byte(`{"epoch":"y","last":1,"changes":[{"at":1,"kind":"consumers","id":"a"}]}`))
		before := r.reloaded()
		time.Sleep(30 * time.Second)
		if n := r.reloaded() - before; n < 5 {
			t.Errorf("reload was called %d times in 30s of failures, want it over and over", n)
		}
		if len(r.of(authz.Change{Kind: "consumers", ID: "a"})) == 0 {
			t.Error("the change was not handed out, for a reload that fails")
		}
		r.fail(nil)
		time.Sleep(15 * time.Second)
		before = r.reloaded()
		time.Sleep(time.Minute)
		if n := r.reloaded() - before; n != 0 {
			t.Errorf("reload was called %d times more after it succeeded, want none", n)
		}
		r.stop()
	})
}

func TestLogForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		c, _ := newChanges(t, kv, nil)
		wantErr(t, "Append", c.Append(t.Context(), change(1), change(2)), nil)
		time.Sleep(10*time.Minute + time.Second)
		wantErr(t, "Append", c.Append(t.Context(), change(3)), nil)
		raw, _, _ := kv.Read(t.Context(), "changes")
		if s := string(raw); strings.Contains(s, id(2)) || !strings.Contains(s, id(3)) || !strings.Contains(s, `"last":3`) {
			t.Errorf("the log is %s, want only the third change", s)
		}
	})
}

func TestLogStaysSmallWhateverItsTokens(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	c, _ := newChanges(t, kv, nil)
	for range 10 {
		long := authz.Change{Kind: authz.KindCredentials, ID: strings.Repeat("x", 4096), Vault: id(1)}
		wantErr(t, "Append", c.Append(t.Context(), slices.Repeat([]authz.Change{long}, 90)...), nil)
	}
	if raw, _, _ := kv.Read(t.Context(), "changes"); len(raw) > 300<<10 || len(raw) < 200<<10 {
		t.Errorf("the log has %d bytes, want about 256 KiB", len(raw))
	}
}

func TestAnnounceMakesNothingWithoutTheLogAndNothingLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		c, _ := newChanges(t, kv, nil)
		made := 0
		commit := func(context.Context) error { made++; return nil }
		kv.Fail(errGone)
		wantErr(t, "Announce without the store", c.Announce(t.Context(), commit, change(1)), authz.ErrUnavailable)
		kv.Fail(nil)
		wantErr(t, "Announce", c.Announce(t.Context(), commit, change(1)), nil)
		if made != 1 {
			t.Errorf("%d changes were made, want 1", made)
		}
		late := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() }
		begin := time.Now()
		wantErr(t, "Announce of what takes long", c.Announce(t.Context(), late, change(2)), context.DeadlineExceeded)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("the context ended after %s, want 3s", took-time.Second)
		}
		raw, _, _ := kv.Read(t.Context(), "changes")
		if strings.Count(string(raw), id(2)) != 2 {
			t.Errorf("the log is %s, want the late change told twice", raw)
		}
	})
}

// distant takes its time for everything, and counts the writes.
type distant struct {
	vaultkv.Versioned
	after  time.Duration
	writes *atomic.Int64
}

func (d distant) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	if err := sleep(ctx, d.after); err != nil {
		return nil, 0, false, err
	}
	return d.Versioned.ReadVersion(ctx, path)
}

func (d distant) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	d.writes.Add(1)
	if err := sleep(ctx, d.after); err != nil {
		return 0, false, err
	}
	return d.Versioned.WriteVersion(ctx, path, document, cas)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func TestManyChangesAtOnceShareAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := distant{memkv.New(), 50 * time.Millisecond, new(atomic.Int64)}
		took := manyAtOnce(t, far)
		// One write of each replica for what came first, one for the rest, and
		// those that the other one was faster than.
		if n := far.writes.Load(); n > 12 || took[63] > time.Second {
			t.Errorf("64 changes took %d writes and %s, want a few writes and less than a second", n, took[63])
		}
	})
}

func TestWhoWritesForOthersDoesNotTakeThemAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		far := distant{kv, 800 * time.Millisecond, new(atomic.Int64)}
		c, _ := newChanges(t, far, nil)
		var wg sync.WaitGroup
		appended := func(n int, within time.Duration, want error) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				if err := c.Append(ctx, change(n)); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("Append of change %d = %v, want %v", n, err, want)
				}
			})
			synctest.Wait()
		}
		// The first one writes for itself, one of the next for both of them.
		appended(1, 5*time.Second, nil)
		appended(2, 2500*time.Millisecond, authz.ErrUnavailable)
		appended(3, 2500*time.Millisecond, authz.ErrUnavailable)
		appended(4, 10*time.Second, nil)
		wg.Wait()
		appended(5, 10*time.Second, nil)
		wg.Wait()
		raw, _, _, _ := kv.ReadVersion(t.Context(), "changes")
		for n, want := range map[int]int{1: 1, 4: 1, 5: 1} {
			if got := strings.Count(string(raw), id(n)); got != want {
				t.Errorf("change %d is in the log %d times, want %d: %s", n, got, want, raw)
			}
		}
	})
}

func TestAStoreThatFailsAnswersAllThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		far := distant{kv, 100 * time.Millisecond, new(atomic.Int64)}
		c, _ := newChanges(t, far, nil)
		kv.Fail(errGone)
		began := time.Now()
		var wg sync.WaitGroup
		for n := range 10 {
			wg.Go(func() {
				if err := c.Append(t.Context(), change(n)); !errors.Is(err, authz.ErrUnavailable) {
					t.Errorf("Append = %v, want %v", err, authz.ErrUnavailable)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("all were answered after %s, want the time of two tries", took)
		}
		kv.Fail(nil)
		wantErr(t, "Append", c.Append(t.Context(), change(20)), nil)
		raw, _, _, _ := kv.ReadVersion(t.Context(), "changes")
		if strings.Contains(string(raw), id(3)) {
			t.Errorf("the log is %s, want nothing in it that was answered with an error", raw)
		}
	})
}

// TestAPanicOfWhoWritesBlocksNobody: a handler's panic is caught far above.
func TestAPanicOfWhoWritesBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		c, _ := newChanges(t, &explosive{Versioned: kv}, nil)
		var panics atomic.Int64
		var wg sync.WaitGroup
		for n := range 3 {
			wg.Go(func() {
				defer func() {
					if recover() != nil {
						panics.Add(1)
					}
				}()
				err := c.Append(t.Context(), change(n))
				raw, _, _, _ := kv.ReadVersion(t.Context(), "changes")
				if in := strings.Contains(string(raw), id(n)); in != (err == nil) || err != nil && (!errors.Is(err, authz.ErrUnavailable) || strings.Contains(err.Error(), "%!")) {
					t.Errorf("Append of change %d = %v, in the log: %t", n, err, in)
				}
			})
		}
		wg.Wait()
		if n := panics.Load(); n != 1 {
			t.Errorf("%d panics, want the one", n)
		}
		wantErr(t, "Append after it", c.Append(t.Context(), change(9)), nil)
	})
}

// explosive panics in the middle of its first write.
type explosive struct {
	vaultkv.Versioned
	done atomic.Bool
}

func (e *explosive) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if e.done.CompareAndSwap(false, true) {
		_ = sleep(ctx, 100*time.Millisecond) // so that the others wait by then
		panic("boom")
	}
	return e.Versioned.WriteVersion(ctx, path, document, cas)
}

func TestAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := newChanges(t, refusing{memkv.New()}, nil)
		begin := time.Now()
		err := c.Append(t.Context(), change(1))
		if !errors.Is(err, authz.ErrUnavailable) || time.Since(begin) > 6*time.Second {
			t.Errorf("Append = %v after %s, want %v after 5s", err, time.Since(begin), authz.ErrUnavailable)
		}
	})
}

// refusing always says that somebody else was faster.
type refusing struct{ vaultkv.Versioned }

func (refusing) WriteVersion(context.Context, string, []byte, int) (int, bool, error) {
	return 0, false, nil
}

func TestChangesConfigValidate(t *testing.T) {
	t.Parallel()
	c := vaultkv.ChangesConfig{}
	if _, err := vaultkv.NewChanges(memkv.New(), c, zap.NewNop()); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("NewChanges of the zero config = %v, want its four mistakes", err)
	}
	if _, err := vaultkv.NewRecords(memkv.New(), vaultkv.RecordsConfig{Patience: 1}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("NewRecords of a bad config = %v, want its three mistakes", err)
	}
}
