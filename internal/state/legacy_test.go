package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// testdata/format1.json is what a replica of the earlier version left in a real mount.
type recorded map[string]struct {
	Version  int             `json:"version"`
	Document json.RawMessage `json:"document"`
}

func recording(t *testing.T) recorded {
	t.Helper()
	raw, err := os.ReadFile("testdata/format1.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// engine returns a mount with what was recorded.
func (r recorded) engine() *memkv.Engine {
	kv := memkv.New()
	for path, e := range r {
		for range e.Version {
			kv.Put(path, e.Document)
		}
	}
	return kv
}

// An oldEntry is what format 1 has at the path of a record.
type oldEntry struct {
	Document json.RawMessage `json:"document,omitempty"`
	Unique   []string        `json:"unique,omitempty"`
	Deleted  bool            `json:"deleted,omitempty"`
	Attempt  string          `json:"attempt"`
	Fences   int             `json:"fences,omitempty"`
}

// live returns the records that were not deleted, by kind and id.
func (r recorded) live(t *testing.T) map[string]oldEntry {
	t.Helper()
	all := map[string]oldEntry{}
	for path, e := range r {
		key, is := strings.CutPrefix(path, "records/")
		if !is {
			continue
		}
		var o oldEntry
		if err := json.Unmarshal(e.Document, &o); err != nil {
			t.Fatal(err)
		}
		if !o.Deleted {
			all[key] = o
		}
	}
	return all
}

// A follower is a replica that follows the log.
type follower struct {
	*node
	logs *observer.ObservedLogs
	stop func()
}

const bridgeTime = 3 * time.Minute

// startFollower starts a replica, which the end of the test stops.
func startFollower(t *testing.T, kv state.Engine) *follower {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	n := &node{dropped: map[string]int{}}
	c := state.DefaultConfig()
	c.Bridge = bridgeTime
	s, err := state.New(kv, c, n.watcher(), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	n.Store = s
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Follow(ctx) })
	f := &follower{node: n, logs: logs, stop: func() { cancel(); wg.Wait() }}
	t.Cleanup(f.stop)
	return f
}

// settle is time for background work after the replicas have stopped.
func settle() { time.Sleep(15 * time.Minute) }

// shown waits for the state of a replica.
func (f *follower) shown(t *testing.T, within time.Duration) *state.View {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		v, err := f.View()
		if err == nil {
			return v
		}
		if time.Since(began) > within {
			t.Fatalf("no state after %s: %v; %v", within, err, f.Problem())
		}
	}
}

// all returns the records of a view.
func all(v *state.View) map[string]*state.Record {
	records := map[string]*state.Record{}
	for _, kind := range []string{state.KindVaults, state.KindConsumers, state.KindACLs, state.KindPolicies} {
		v.After(kind, "", func(r *state.Record) bool {
			records[kind+"/"+r.ID] = r
			return true
		})
	}
	return records
}

// wantMoved compares a view with what was recorded.
func wantMoved(t *testing.T, r recorded, v *state.View) {
	t.Helper()
	got, want := all(v), r.live(t)
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Fatalf("the state has the records\n%q, want\n%q", a, b)
	}
	for key, w := range want {
		g := got[key]
		var of struct{ Tags []string }
		if err := json.Unmarshal(w.Document, &of); err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, g.Document, w.Document) || !slices.Equal(g.Unique, w.Unique) || !slices.Equal(g.Tags, of.Tags) {
			t.Errorf("%s is %s with the keys %q and tags %q, want %s, %q, %q", key, g.Document, g.Unique, g.Tags, w.Document, w.Unique, of.Tags)
		}
		kind, _, _ := strings.Cut(key, "/")
		for _, k := range w.Unique {
			if owner, err := v.ByUnique(kind, k); err != nil || owner.ID != g.ID {
				t.Errorf("%s %q is of %+v, %v", kind, k, owner, err)
			}
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// legacyOf returns everything of format 1 that a mount has.
func legacyOf(t *testing.T, kv *memkv.Engine, r recorded) map[string]string {
	t.Helper()
	found := map[string]string{}
	for path := range r {
		raw, version, _, err := kv.ReadVersion(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		found[path] = fmt.Sprint(version, " ", string(raw))
	}
	return found
}

func TestEveryRecordOfTheEarlierFormatIsMovedOnOnceAndStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		r := recording(t)
		kv := r.engine()
		before := legacyOf(t, kv, r)
		f := startFollower(t, kv)
		wantMoved(t, r, f.shown(t, 3*time.Second))
		// It goes on from there, and another start finds it moved.
		create(t, f.node, consumer(101))
		f.stop()
		v := startFollower(t, kv).shown(t, 3*time.Second)
		if _, err := v.Get(state.KindConsumers, id(101)); err != nil || v.Len(state.KindConsumers) != f.shown(t, 0).Len(state.KindConsumers) {
			t.Errorf("after another start: %v, %d consumers", err, v.Len(state.KindConsumers))
		}
		after := legacyOf(t, kv, r)
		delete(before, "changes") // the new consumer is in it
		delete(after, "changes")
		if !maps.Equal(before, after) {
			t.Errorf("entries of the earlier format were changed: %v, want %v", after, before)
		}
	})
}

func TestReplicasThatStartAtOnceMoveTheStateOnOnce(t *testing.T) {
	t.Parallel()
	for replicas := 2; replicas <= 5; replicas++ {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				r := recording(t)
				kv := &counting{Engine: r.engine()}
				var all []*follower
				for range replicas {
					all = append(all, startFollower(t, kv))
				}
				for _, f := range all {
					wantMoved(t, r, f.shown(t, 40*time.Second))
				}
				for i, f := range all {
					create(t, f.node, consumer(100+i))
				}
				for _, f := range all {
					if v := view(t, f.node); v.Len(state.KindConsumers) != len(all)+10+1 {
						t.Errorf("%d consumers, want those that were moved and one of each replica", v.Len(state.KindConsumers))
					}
				}
			})
		})
	}
}

// crashing loses every write from a given one on.
type crashing struct {
	*memkv.Engine
	mu   sync.Mutex
	left int
	done bool
}

var errCrash = errors.New("the process is gone")

func (c *crashing) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		c.done = true
		return 0, false, errCrash
	}
	c.left--
	return c.Engine.WriteVersion(ctx, path, document, cas)
}

func (c *crashing) crashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func TestMoveIsRepeatedAfterACrash(t *testing.T) {
	t.Parallel()
	for writes := 0; ; writes++ {
		crashed := false
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(settle)
			r := recording(t)
			kv := &crashing{Engine: r.engine(), left: writes}
			first := startFollower(t, kv)
			time.Sleep(3 * time.Second)
			crashed = kv.crashed()
			first.stop()
			wantMoved(t, r, startFollower(t, kv.Engine).shown(t, 35*time.Second))
		})
		if !crashed {
			if writes < 3 {
				t.Fatalf("moving takes %d writes, too few to show anything", writes)
			}
			return
		}
	}
}

func TestMalformedEntryStopsTheMove(t *testing.T) {
	t.Parallel()
	path := "records/policies/" + id(1)
	tests := []struct {
		name, path, entry string
		want              []string
	}{
		{"an entry that is not a record", path, `{"document":"text"}`, []string{"policies", id(1), path}},
		{"a document that is null", path, `{"document":null,"attempt":"x"}`, []string{path}},
		{"an empty unique key", path, `{"document":{"id":"x"},"unique":[""]}`, []string{path}},
		{"a document that is too large", path, `{"document":{"x":"` + strings.Repeat("x", state.MaxDocument) + `"}}`, []string{path, "divide it"}},
		{"an entry of a newer version", path, `{"format":3}`, []string{"newer version", "format 3", "run the version"}},
		{"a log of a newer version", "changes", `{"format":3}`, []string{"newer version", "format 3", "run the version"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				r := recording(t)
				kv := r.engine()
				kv.Put(tt.path, []byte(tt.entry))
				before := legacyOf(t, kv, r)
				f := startFollower(t, kv)
				time.Sleep(time.Minute)
				if _, err := f.View(); !errors.Is(err, authz.ErrUnavailable) {
					t.Fatalf("there is a state: %v", err)
				}
				if _, err := f.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(consumer(101)) }); !errors.Is(err, authz.ErrUnavailable) {
					t.Errorf("a change: %v, want that it is unavailable", err)
				}
				for _, want := range tt.want {
					if text := f.Problem().Error(); !strings.Contains(text, want) {
						t.Errorf("the problem is %q, want %q in it", text, want)
					}
				}
				logged := ""
				for _, line := range f.logs.FilterLevelExact(zapcore.WarnLevel).All() {
					logged += fmt.Sprint(line.ContextMap()["error"])
				}
				if !strings.Contains(logged, tt.want[0]) {
					t.Errorf("logged was %q, want %q in it", logged, tt.want[0])
				}
				if _, _, found, _ := kv.ReadVersion(t.Context(), "checkpoint"); found || !maps.Equal(before, legacyOf(t, kv, r)) {
					t.Error("something was written")
				}
			})
		})
	}
}

func TestEntryOfANewerFormatIsRefusedAndNotOverwritten(t *testing.T) {
	t.Parallel()
	const newer = `{"format":3,"log":"x"}`
	for _, path := range []string{"checkpoint", "checkpoint-a/0000", "log/00", "changes"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				r := recording(t)
				kv := r.engine()
				first := startFollower(t, kv)
				first.shown(t, 3*time.Second)
				create(t, first.node, consumer(101))
				kv.Put(path, []byte(newer))
				// One that starts now, and one that runs, which has read pieces and
				// does not need them.
				replicas := []*follower{startFollower(t, kv)}
				if !strings.HasPrefix(path, "checkpoint") {
					replicas = append(replicas, first)
				}
				time.Sleep(10 * time.Second)
				for i, f := range replicas {
					err := f.Problem()
					if err == nil || !strings.Contains(err.Error(), "newer version") || !strings.Contains(err.Error(), "run the version that wrote it") {
						t.Errorf("replica %d: the problem is %v, want what to do", i, err)
					}
					if f.Lag() < 8*time.Second {
						t.Errorf("replica %d counts as current", i)
					}
					_, _ = f.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(consumer(102)) })
				}
				if raw, _, _, _ := kv.ReadVersion(t.Context(), path); string(raw) != newer {
					t.Errorf("%s was written over: %s", path, raw)
				}
			})
		})
	}
}
