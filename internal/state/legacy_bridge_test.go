package state_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// An earlier writes as a replica of the earlier version does: it announces a change in
// its log, reserves names, and writes the entry.
type earlier struct {
	t  *testing.T
	kv *memkv.Engine
}

type oldChange struct {
	At    int64  `json:"at"`
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Vault string `json:"vault,omitempty"`
}

type oldLog struct {
	Epoch   string      `json:"epoch"`
	Last    int         `json:"last"`
	Changes []oldChange `json:"changes"`
}

// read returns an entry and its version, and whether there is one.
func read[T any](e earlier, path string) (entry T, version int, found bool) {
	e.t.Helper()
	raw, version, found, err := e.kv.ReadVersion(context.WithoutCancel(e.t.Context()), path)
	if err != nil {
		e.t.Fatal(err)
	}
	if found {
		if err := json.Unmarshal(raw, &entry); err != nil {
			e.t.Fatal(err)
		}
	}
	return entry, version, found
}

func (e earlier) write(path string, entry any, cas int) {
	e.t.Helper()
	raw, err := json.Marshal(entry)
	if err != nil {
		e.t.Fatal(err)
	}
	if _, ok, err := e.kv.WriteVersion(e.t.Context(), path, raw, cas); err != nil || !ok {
		e.t.Fatalf("writing %s over version %d: %t, %v", path, cas, ok, err)
	}
}

func (e earlier) announce(kind, id string) {
	e.t.Helper()
	for range 100 {
		if e.tryAnnounce(kind, id) {
			return
		}
	}
	e.t.Fatal("others were always faster")
}

func (e earlier) tryAnnounce(kind, id string) bool {
	e.t.Helper()
	l, version, _ := read[oldLog](e, "changes")
	if l.Epoch == "" {
		l.Epoch = rand.Text()
	}
	l.Changes = append(l.Changes, oldChange{At: time.Now().Unix(), Kind: kind, ID: id})
	l.Last++
	raw, err := json.Marshal(l)
	if err != nil {
		e.t.Fatal(err)
	}
	_, ok, err := e.kv.WriteVersion(e.t.Context(), "changes", raw, version)
	if err != nil {
		e.t.Fatal(err)
	}
	return ok
}

func oldPath(kind, id string) string { return "records/" + kind + "/" + id }

// put announces a record and writes it after a while.
func (e earlier) put(r state.Record, after time.Duration) {
	e.t.Helper()
	e.announce(r.Kind, r.ID)
	time.Sleep(after)
	_, version, _ := read[oldEntry](e, oldPath(r.Kind, r.ID))
	e.write(oldPath(r.Kind, r.ID), oldEntry{Document: r.Document, Unique: r.Unique, Attempt: rand.Text()}, version)
}

func (e earlier) delete(kind, id string, after time.Duration) {
	e.t.Helper()
	e.announce(kind, id)
	time.Sleep(after)
	_, version, _ := read[oldEntry](e, oldPath(kind, id))
	e.write(oldPath(kind, id), oldEntry{Deleted: true, Attempt: rand.Text()}, version)
}

// announced returns what the log names, the newest last.
func (e earlier) announced() []string {
	e.t.Helper()
	l, _, _ := read[oldLog](e, "changes")
	var names []string
	for _, c := range l.Changes {
		names = append(names, c.Kind+"/"+c.ID)
	}
	return names
}

// claimed returns the id of the record that has reserved a name.
func (e earlier) claimed(kind, key string) string {
	e.t.Helper()
	digest := sha256.Sum256([]byte(key))
	c, _, _ := read[struct{ Key, ID string }](e, "unique/"+kind+"/"+hex.EncodeToString(digest[:]))
	if c.ID != "" && c.Key != key {
		e.t.Errorf("the claim of %q is of %q", key, c.Key)
	}
	return c.ID
}

// sideBySide is a mount with a replica of each version.
func sideBySide(t *testing.T) (earlier, *follower) {
	t.Helper()
	kv := recording(t).engine()
	f := startFollower(t, kv)
	f.shown(t, 3*time.Second)
	time.Sleep(10 * time.Second)
	return earlier{t, kv}, f
}

// alls is how often all credentials were dropped.
func (f *follower) alls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}

func (f *follower) get(t *testing.T, kind, id string) *state.Record {
	t.Helper()
	r, err := f.shown(t, 0).Get(kind, id)
	if err != nil && !errors.Is(err, authz.ErrNotFound) {
		t.Fatal(err)
	}
	return r
}

func TestChangesOfTheEarlierVersionAreTakenOverWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 2900 * time.Millisecond} {
		t.Run(fmt.Sprint("written ", after, " after it was announced"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				old, f := sideBySide(t)
				made := consumer(101)
				old.put(made, after)
				time.Sleep(2 * time.Second)
				if r := f.get(t, made.Kind, made.ID); r == nil || string(r.Document) != string(made.Document) {
					t.Fatalf("the new consumer is %+v", r)
				}
				made.Unique = []string{"username=other"}
				old.put(made, after)
				time.Sleep(2 * time.Second)
				if r, err := f.shown(t, 0).ByUnique(made.Kind, "username=other"); err != nil || r.ID != made.ID {
					t.Errorf("the renamed consumer is %+v, %v", r, err)
				}
				old.delete(made.Kind, made.ID, after)
				time.Sleep(2 * time.Second)
				if r := f.get(t, made.Kind, made.ID); r != nil {
					t.Errorf("the deleted consumer is %+v", r)
				}
			})
		})
	}
}

func TestCredentialThatTheEarlierVersionChangesIsDroppedUntilItIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		all := f.alls()
		old.announce(state.KindCredentials, "token")
		time.Sleep(1200 * time.Millisecond)
		if f.drops("token") == 0 {
			t.Fatal("it was not dropped")
		}
		time.Sleep(3 * time.Second)
		before := f.drops("token")
		time.Sleep(2 * time.Second)
		if f.drops("token") == before {
			t.Error("it was not dropped again, 5 s after it was announced")
		}
		time.Sleep(5 * time.Second)
		before = f.drops("token")
		time.Sleep(5 * time.Second)
		if f.drops("token") != before || f.alls() != all {
			t.Error("it is dropped for ever, or everything was")
		}
	})
}

// The versions do not share leases: the release of one here says nothing about a change that
// the earlier version has announced and not written yet.
func TestCredentialThatTheEarlierVersionChangesIsDroppedDespiteALeaseOfThisOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		old.announce(state.KindCredentials, "token")
		time.Sleep(1200 * time.Millisecond)
		if err := f.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1800 * time.Millisecond)
		written := f.drops("token")
		time.Sleep(1200 * time.Millisecond)
		if f.drops("token") == written {
			t.Error("it was not dropped after the earlier version has written it, 3 s after it was announced")
		}
	})
}

func TestChangesReachTheEarlierVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		made := consumer(101)
		path := oldPath(made.Kind, made.ID)
		create(t, f.node, made)
		time.Sleep(time.Second)
		entry, version, _ := read[oldEntry](old, path)
		if !sameJSON(t, entry.Document, made.Document) || !slices.Equal(entry.Unique, made.Unique) || entry.Deleted {
			t.Fatalf("the entry is %+v", entry)
		}
		if owner := old.claimed(made.Kind, "username=user-101"); owner != made.ID {
			t.Errorf("the name is claimed for %q, want %q", owner, made.ID)
		}
		if names := old.announced(); !slices.Contains(names, made.Kind+"/"+made.ID) {
			t.Errorf("announced are %q", names)
		}
		if _, err := f.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(made.Kind, made.ID) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if entry, _, _ := read[oldEntry](old, path); !entry.Deleted {
			t.Errorf("the entry of the deleted one is %+v", entry)
		}
		time.Sleep(time.Minute)
		if _, now, _ := read[oldEntry](old, path); now != version+1 {
			t.Errorf("the entry was written %d times for two changes", now-version+1)
		}
		// What was mirrored is not taken over, and what comes after it is.
		old.put(made, 0)
		time.Sleep(2 * time.Second)
		if f.get(t, made.Kind, made.ID) == nil {
			t.Error("what the earlier version made anew is not there")
		}
	})
}

// The earlier version does not know folders, and would use the whole mount.
func TestVaultObjectWithAFolderIsDeletedInTheEarlierVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		r := consumer(101)
		r.Kind, r.Unique = state.KindVaults, []string{"name=shared"}
		path := oldPath(r.Kind, r.ID)
		change := func(document string) {
			t.Helper()
			r.Document = []byte(document)
			position, err := f.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(r) })
			if err != nil {
				t.Fatal(err)
			}
			r.Version = position
			time.Sleep(time.Second)
		}
		for _, test := range []struct {
			document string
			mirrored bool
		}{
			{`{"mount":"kv","prefix":"team-a"}`, false},
			{`{"mount":"kv"}`, true},
			{`{"mount":"kv","prefix":"team-b"}`, false},
			{`{"mount":"kv","prefix":null}`, true},
		} {
			change(test.document)
			if entry, _, _ := read[oldEntry](old, path); entry.Deleted == test.mirrored || test.mirrored && !sameJSON(t, entry.Document, r.Document) {
				t.Errorf("%s: the entry is %+v, want it to be there: %t", test.document, entry, test.mirrored)
			}
		}
		change(`{"mount":"kv","prefix":"team-a"}`)
		time.Sleep(time.Minute)
		if got := f.get(t, r.Kind, r.ID); got == nil || string(got.Document) != string(r.Document) {
			t.Errorf("after a minute the vault object is %+v", got)
		}
	})
}

func TestChangeOfACredentialIsAnnouncedToTheEarlierVersionBeforeItsWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		err := f.LeaseCredential(t.Context(), "token", func(commit func(context.Context, func(context.Context) error) error) error {
			return commit(t.Context(), func(context.Context) error {
				if names := old.announced(); len(names) == 0 || names[len(names)-1] != "credentials/token" {
					t.Errorf("announced are %q", names)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// deaf fails writes for the earlier version, at once or after their time.
type deaf struct {
	state.Engine
	hang bool
}

func (d *deaf) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if path != "changes" && !strings.HasPrefix(path, "records/") && !strings.HasPrefix(path, "unique/") {
		return d.Engine.WriteVersion(ctx, path, document, cas)
	}
	if d.hang {
		<-ctx.Done()
	}
	return 0, false, errors.New("refused")
}

func TestChangesGoOnWhenAnnouncementsFail(t *testing.T) {
	t.Parallel()
	for _, hang := range []bool{false, true} {
		t.Run(fmt.Sprint("the server hangs: ", hang), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				f := startFollower(t, &deaf{recording(t).engine(), hang})
				f.shown(t, 3*time.Second)
				for i := range 3 {
					began := time.Now()
					create(t, f.node, consumer(101+i))
					if took := time.Since(began); took > 100*time.Millisecond {
						t.Errorf("a change took %s", took)
					}
					began = time.Now()
					if err := f.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 1100*time.Millisecond {
						t.Errorf("a change of a credential took %s", took)
					}
					time.Sleep(10 * time.Second)
				}
				if n := f.logs.FilterMessageSnippet("do not learn of changes").Len(); n != 1 {
					t.Errorf("it was logged %d times, want once", n)
				}
			})
		})
	}
}

// narrow refuses bodies with more strings than OpenBao takes.
type narrow struct{ state.Engine }

func (n *narrow) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if path == "changes" && bytes.Count(document, []byte(`"`))/2 > 1000 {
		return 0, false, errors.New("400, refused JSON input due to high complexity")
	}
	return n.Engine.WriteVersion(ctx, path, document, cas)
}

func TestAnnouncementsFitWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		kv := recording(t).engine()
		old := earlier{t, kv}
		f := startFollower(t, &narrow{kv})
		f.shown(t, 3*time.Second)
		for i := range 400 {
			token := fmt.Sprint("token-", i)
			if err := f.LeaseCredential(t.Context(), token, func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if names := old.announced(); names[len(names)-1] != "credentials/"+token {
				t.Fatalf("announced last is %s, want %s", names[len(names)-1], token)
			}
		}
		l, _, _ := read[oldLog](old, "changes")
		if l.Last != 43+400 {
			t.Errorf("the last change has the number %d, want every change counted", l.Last)
		}
		time.Sleep(2 * time.Minute)
		create(t, f.node, consumer(101))
		time.Sleep(time.Second)
		if n := len(old.announced()); n != 1 {
			t.Errorf("%d changes are kept, want those of the last minute", n)
		}
	})
}

// A replica starts after only the earlier version ran for a while, and that one's log has
// lost most changes.
func TestStateIsNotShownBeforeItHasTheChangesOfTheEarlierVersion(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []bool{false, true} {
		t.Run(fmt.Sprint("the log has forgotten it: ", forgotten), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				old, first := sideBySide(t)
				create(t, first.node, consumer(102))
				time.Sleep(5 * time.Second)
				first.stop()
				var gone string
				first.shown(t, 0).After(state.KindConsumers, "", func(r *state.Record) bool {
					gone = r.ID
					return false
				})
				old.delete(state.KindConsumers, gone, 0)
				old.delete(state.KindConsumers, id(102), 0)
				old.put(consumer(101), 0)
				if forgotten {
					l, version, _ := read[oldLog](old, "changes")
					l.Changes = nil
					old.write("changes", l, version)
				}
				time.Sleep(2 * bridgeTime) // the operator stays with the earlier version
				f := startFollower(t, old.kv)
				f.shown(t, 3*time.Second)
				if f.get(t, state.KindConsumers, gone) != nil || f.get(t, state.KindConsumers, id(102)) != nil || f.get(t, state.KindConsumers, id(101)) == nil {
					t.Error("it was shown without what the earlier version had changed")
				}
				// And is being replaced again.
				time.Sleep(10 * time.Second)
				old.put(consumer(103), 0)
				create(t, f.node, consumer(104))
				time.Sleep(3 * time.Second)
				if entry, _, _ := read[oldEntry](old, oldPath(state.KindConsumers, id(104))); f.get(t, state.KindConsumers, id(103)) == nil || len(entry.Document) == 0 {
					t.Error("the versions do not see each other's changes")
				}
			})
		})
	}
}

func TestChangesOfAReplicaThatCrashedAreMirroredByOthers(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("after a restart: ", restart), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				kv := recording(t).engine()
				old := earlier{t, kv}
				crashed := startFollower(t, &deaf{kv, false})
				crashed.shown(t, 3*time.Second)
				if !restart {
					startFollower(t, kv).shown(t, 3*time.Second)
				}
				create(t, crashed.node, consumer(101))
				crashed.stop()
				if restart {
					startFollower(t, kv)
				}
				time.Sleep(6 * time.Second)
				if entry, _, _ := read[oldEntry](old, oldPath(state.KindConsumers, id(101))); len(entry.Document) == 0 {
					t.Error("the consumer is not there for the earlier version")
				}
			})
		})
	}
}

func TestNameThatWasGivenInBothVersionsIsDeniedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		// Neither knows of the other one's when it writes.
		ours, theirs := consumer(101), consumer(101)
		theirs.ID = id(102)
		rule, theirRule := ours, theirs
		rule.Kind, theirRule.Kind = state.KindPolicies, state.KindPolicies
		// The claims of a change here are written behind its back, so the other one begins.
		synctest.Wait()
		for _, r := range []state.Record{theirs, theirRule} {
			digest := sha256.Sum256([]byte(r.Unique[0]))
			old.write("unique/"+r.Kind+"/"+hex.EncodeToString(digest[:]), map[string]any{"key": r.Unique[0], "id": r.ID, "claimed_at": time.Now()}, 0)
			old.put(r, 0)
		}
		create(t, f.node, ours, rule)
		time.Sleep(15 * time.Second)
		if f.get(t, ours.Kind, theirs.ID) != nil {
			t.Error("two consumers have one name")
		}
		if entry, _, _ := read[oldEntry](old, oldPath(ours.Kind, ours.ID)); len(entry.Document) > 0 {
			t.Error("two consumers have one name for the earlier version")
		}
		// A policy that is left out might let requests in.
		if r := f.get(t, rule.Kind, theirRule.ID); r == nil || len(r.Unique) > 0 {
			t.Errorf("the policy of the earlier version is %+v, want it without its name", r)
		}
		if entry, _, _ := read[oldEntry](old, oldPath(rule.Kind, rule.ID)); len(entry.Document) == 0 || len(entry.Unique) > 0 {
			t.Errorf("the policy is %+v for the earlier version, want it without its name", entry)
		}
		for _, r := range []state.Record{ours, theirs} {
			if n := f.logs.FilterMessageSnippet("a name was given to two records").FilterField(zapID(r.ID)).Len(); n < 1 || n > 2 {
				t.Errorf("%s: it was logged %d times, want once for each kind", r.ID, n)
			}
		}
		// Renamed, it is there for everybody.
		renamed := *f.get(t, ours.Kind, ours.ID)
		renamed.Unique = []string{"username=renamed-101"}
		create(t, f.node, renamed)
		time.Sleep(15 * time.Second)
		if f.get(t, ours.Kind, theirs.ID) == nil {
			t.Error("the consumer of the earlier version is left out, though its name is free")
		}
		if entry, _, _ := read[oldEntry](old, oldPath(ours.Kind, ours.ID)); len(entry.Document) == 0 {
			t.Error("the renamed consumer is not there for the earlier version")
		}
	})
}

func TestDeletionWinsAgainstAChangeThroughTheOtherVersion(t *testing.T) {
	t.Parallel()
	for _, through := range []string{"this version", "the earlier one"} {
		t.Run(through, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(settle)
				kv := recording(t).engine()
				old := earlier{t, kv}
				f := startFollower(t, &late{Engine: kv})
				f.shown(t, 3*time.Second)
				create(t, f.node, consumer(101))
				time.Sleep(10 * time.Second)
				changed := *f.get(t, state.KindConsumers, id(101))
				changed.Tags = []string{"changed"}
				if through == "this version" {
					if _, err := f.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(changed.Kind, changed.ID) }); err != nil {
						t.Fatal(err)
					}
					old.put(changed, 0)
				} else {
					create(t, f.node, changed)
					old.delete(changed.Kind, changed.ID, 0)
				}
				time.Sleep(10 * time.Second)
				if f.get(t, changed.Kind, changed.ID) != nil {
					t.Error("it is there")
				}
				if entry, _, _ := read[oldEntry](old, oldPath(changed.Kind, changed.ID)); !entry.Deleted {
					t.Error("it is there for the earlier version")
				}
			})
		})
	}
}

// late takes a while for the entries of the earlier version.
type late struct{ *memkv.Engine }

func (l *late) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if path == "changes" {
		time.Sleep(300 * time.Millisecond)
	}
	return l.Engine.WriteVersion(ctx, path, document, cas)
}

// lossy loses every ninth answer to a write.
type lossy struct {
	*memkv.Engine
	mu sync.Mutex
	n  int
}

func (l *lossy) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	version, ok, err := l.Engine.WriteVersion(ctx, path, document, cas)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n%9 == 0 {
		return 0, false, errors.New("the answer is lost")
	}
	return version, ok, err
}

// Two replicas of this version, of which one loses answers, and one of the earlier version
// change the same few consumers.
func TestBothVersionsConverge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, a := sideBySide(t)
		b := startFollower(t, &lossy{Engine: old.kv})
		b.shown(t, 3*time.Second)
		var wg sync.WaitGroup
		for i, f := range []*follower{a, b} {
			wg.Go(func() {
				for n := range 100 {
					r := consumer(101 + (n*7+i)%5)
					_, _ = f.Update(t.Context(), func(tx *state.Tx) error {
						was, err := tx.View().Get(r.Kind, r.ID)
						if err == nil && n%3 == 0 {
							return tx.Delete(r.Kind, r.ID)
						}
						if err == nil {
							r.Version = was.Version
						}
						r.Document = fmt.Appendf(nil, `{"id":%q,"n":%d,"by":%d}`, r.ID, n, i)
						return tx.Put(r)
					})
					time.Sleep(time.Duration(50+n%170) * time.Millisecond)
				}
			})
		}
		wg.Go(func() {
			for n := range 60 {
				r := consumer(101 + n%5)
				old.try(r, n)
				time.Sleep(time.Duration(90+n%310) * time.Millisecond)
			}
		})
		wg.Wait()
		time.Sleep(time.Minute)
		v := a.shown(t, 0)
		if x, y := slices.Sorted(maps.Keys(all(v))), slices.Sorted(maps.Keys(all(b.shown(t, 0)))); !slices.Equal(x, y) {
			t.Errorf("two replicas have %q and %q", x, y)
		}
		for n := range 5 {
			r, err := v.Get(state.KindConsumers, id(101+n))
			entry, _, found := read[oldEntry](old, oldPath(state.KindConsumers, id(101+n)))
			there := found && !entry.Deleted
			if (err == nil) != there || there && !sameJSON(t, r.Document, entry.Document) {
				t.Errorf("consumer %d is %+v here and %s there", n, r, entry.Document)
			}
		}
	})
}

// try changes or deletes a record unless another writer is faster.
func (e earlier) try(r state.Record, n int) {
	e.t.Helper()
	entry, version, _ := read[oldEntry](e, oldPath(r.Kind, r.ID))
	if !e.tryAnnounce(r.Kind, r.ID) {
		return
	}
	time.Sleep(20 * time.Millisecond)
	next := oldEntry{Deleted: true, Attempt: rand.Text()}
	if n%4 != 0 || entry.Deleted {
		next = oldEntry{Document: fmt.Appendf(nil, `{"id":%q,"old":%d}`, r.ID, n), Unique: r.Unique, Attempt: rand.Text()}
	}
	raw, _ := json.Marshal(next)
	_, _, _ = e.kv.WriteVersion(e.t.Context(), oldPath(r.Kind, r.ID), raw, version)
}

func TestBridgeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		old, f := sideBySide(t)
		time.Sleep(bridgeTime - time.Minute)
		create(t, f.node, consumer(101))
		time.Sleep(5 * time.Second)
		if _, _, found := read[oldEntry](old, oldPath(state.KindConsumers, id(101))); !found {
			t.Error("the bridge ended early")
		}
		time.Sleep(time.Minute)
		before := old.announced()
		create(t, f.node, consumer(102))
		time.Sleep(time.Minute)
		if _, _, found := read[oldEntry](old, oldPath(state.KindConsumers, id(102))); found || !slices.Equal(before, old.announced()) {
			t.Error("the bridge goes on")
		}
		if f.logs.FilterMessageSnippet("the bridge to the earlier version has ended").Len() != 1 {
			t.Error("its end was not logged")
		}
		f.stop()
		if v := startFollower(t, old.kv).shown(t, 3*time.Second); v.Len(state.KindConsumers) != 11+2 {
			t.Errorf("%d consumers after another start", v.Len(state.KindConsumers))
		}
	})
}

// More changes are made than the log holds.
func TestBridgeSurvivesACheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(settle)
		kv := recording(t).engine()
		old := earlier{t, kv}
		f := startFollower(t, &deaf{kv, false})
		f.shown(t, 3*time.Second)
		create(t, f.node, consumer(101))
		gone := ""
		f.shown(t, 0).After(state.KindConsumers, id(999), func(r *state.Record) bool {
			gone = r.ID
			return false
		})
		if _, err := f.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, gone) }); err != nil {
			t.Fatal(err)
		}
		const more = 6000 // than go into one piece
		for n := 0; n < more; n += 500 {
			var batch []state.Record
			for i := range 500 {
				batch = append(batch, consumer(1000+n+i))
			}
			create(t, f.node, batch...)
		}
		many := consumer(102)
		many.Document = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 20<<10))
		for range 200 {
			many.Version = create(t, f.node, many)
		}
		f.stop()
		startFollower(t, kv).shown(t, 3*time.Second)
		time.Sleep(time.Minute)
		for n := range more {
			if entry, _, _ := read[oldEntry](old, oldPath(state.KindConsumers, id(1000+n))); len(entry.Document) == 0 {
				t.Fatalf("consumer %d did not reach the earlier version", 1000+n)
			}
		}
		if entry, _, _ := read[oldEntry](old, oldPath(state.KindConsumers, gone)); !entry.Deleted {
			t.Error("the deletion did not reach the earlier version")
		}
		for _, n := range []int{101, 102} {
			if entry, _, _ := read[oldEntry](old, oldPath(state.KindConsumers, id(n))); len(entry.Document) == 0 {
				t.Errorf("consumer %d did not reach the earlier version", n)
			}
		}
	})
}

func zapID(id string) zap.Field { return zap.String("id", id) }
