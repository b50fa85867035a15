package lastused

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/memkv"
)

// counted is an engine that counts what is done with it.
type counted struct {
	*memkv.Engine
	mu            sync.Mutex
	reads, writes atomic.Int64
	// refuse is how many writes are refused: another replica is first, with other.
	refuse int
	other  func()
	// deleted are paths whose documents are deleted, and their versions are not.
	deleted map[string]bool
	// hold, if it is not nil, holds reads until it is closed; and then is called once, after
	// the next read.
	hold chan struct{}
	then func()
	// forbid is the error of each write.
	forbid error
}

func newCounted() *counted { return &counted{Engine: memkv.New()} }

func (c *counted) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	c.reads.Add(1)
	if c.hold != nil {
		select {
		case <-c.hold:
		case <-ctx.Done():
			return nil, 0, false, ctx.Err()
		}
	}
	document, version, found, err := c.Engine.ReadVersion(ctx, path)
	if then := c.then; then != nil {
		c.then = nil
		then()
	}
	if c.deleted[path] {
		return nil, version, false, err
	}
	return document, version, found, err
}

func (c *counted) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forbid != nil {
		return 0, false, c.forbid
	}
	if c.refuse > 0 {
		c.refuse--
		c.other()
	}
	c.writes.Add(1)
	delete(c.deleted, path)
	return c.Engine.WriteVersion(ctx, path, document, cas)
}

func replica(kv Engine) *Tracker {
	t := New(zap.NewNop())
	t.KeepIn(kv)
	return t
}

func save(t *testing.T, r *Tracker) {
	t.Helper()
	if _, err := r.save(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// last returns when a credential was last used, from both ways to ask.
func last(t *testing.T, r *Tracker, token string) (at, since time.Time) {
	t.Helper()
	at, since, err := r.Last(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	r.kept.Store(nil)
	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, s := all(token); !a.Equal(at) || !s.Equal(since) {
		t.Errorf("one is told %s since %s, all %s since %s", at, since, a, s)
	}
	return at, since
}

func TestUsesOfAllReplicasAreMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := newCounted()
		one, two := replica(kv), replica(kv)
		time.Sleep(time.Hour)
		began := time.Now().Truncate(time.Minute)
		a, b := one.Use("a"), two.Use("a")
		first := time.Now()
		a.Used(first, false)
		save(t, one)
		time.Sleep(time.Hour)
		second := time.Now()
		b.Used(second, false)
		two.Use("b").Used(second, false)
		save(t, two)
		for _, r := range []*Tracker{one, two} {
			for token, want := range map[string]time.Time{"a": second, "b": second, "c": {}} {
				if at, since := last(t, r, token); !at.Equal(want.Truncate(time.Minute)) || !since.Equal(began) {
					t.Errorf("%s: %s since %s, want %s since %s", token, at, since, want, began)
				}
			}
		}
		// What is late is no news.
		writes := kv.writes.Load()
		one.Use("a").Used(first, false)
		save(t, one)
		if kv.writes.Load() != writes {
			t.Error("an earlier use was written")
		}
		if at, _ := last(t, one, "a"); !at.Equal(second.Truncate(time.Minute)) {
			t.Errorf("an earlier use replaced a later one: %s", at)
		}
	})
}

func TestAUseIsToldByItsReplicaBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := replica(newCounted())
		now := time.Now()
		r.Use("a").Used(now, false)
		if at, _ := last(t, r, "a"); !at.Equal(now.Truncate(time.Minute)) {
			t.Errorf("got %s, want %s", at, now)
		}
	})
}

func TestAUseThatIsSavedWhileDocumentsAreReadIsTold(t *testing.T) {
	t.Parallel()
	kv := newCounted()
	r := replica(kv)
	r.Use("a").Used(time.Now(), false)
	save(t, r)
	r.Use("b").Used(time.Now(), false)
	kv.then = func() { save(t, r) }
	if at, _, err := r.Last(t.Context(), "b"); err != nil || at.IsZero() {
		t.Errorf("got %s, %v, want the use", at, err)
	}
}

// TestThePolicyOfTheVaultTokenMayCoverTheListAndNoDocument: then nothing is recorded, and every
// credential looks unused.
func TestThePolicyOfTheVaultTokenMayCoverTheListAndNoDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := newCounted()
		kv.forbid = errors.New("the policies do not cover this")
		r := replica(kv)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, _, err := r.Last(t.Context(), "a"); !errors.Is(err, kv.forbid) {
			t.Errorf("of one: %v, want why nothing is recorded", err)
		}
		if _, err := r.All(t.Context()); !errors.Is(err, kv.forbid) {
			t.Errorf("of all: %v, want why nothing is recorded", err)
		}
		stop()
		synctest.Wait()
	})
}

func TestWithoutADocumentNothingIsKnown(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		kv := newCounted()
		r := replica(kv)
		if deleted {
			save(t, r)
			kv.deleted = map[string]bool{"used/0-000": true}
		}
		r.Use("a").Used(time.Now(), false)
		for token, used := range map[string]bool{"a": true, "b": false} {
			if at, since := last(t, r, token); at.IsZero() == used || !since.IsZero() {
				t.Errorf("%s, deleted: %t: used at %s, known since %s, want used: %t, and never", token, deleted, at, since, used)
			}
		}
	}
}

// TestUsesThatWereLostAreNotTakenForNone: what is lost may have had the use of every credential.
func TestUsesThatWereLostAreNotTakenForNone(t *testing.T) {
	t.Parallel()
	const path = "used/0-000"
	drop := func(t *testing.T, kv *counted) {
		t.Helper()
		if err := kv.Delete(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		// lose loses what was written after the backup, in the end.
		lose func(t *testing.T, kv *counted, backup []byte)
		// anew says that a replica notices which was not there before.
		anew bool
	}{
		{"deleted", func(_ *testing.T, kv *counted, _ []byte) { kv.deleted = map[string]bool{path: true} }, false},
		{"deleted, and replicas start anew", func(_ *testing.T, kv *counted, _ []byte) { kv.deleted = map[string]bool{path: true} }, true},
		{"deleted with all versions", func(t *testing.T, kv *counted, _ []byte) { t.Helper(); drop(t, kv) }, false},
		{"deleted with all versions, and replicas start anew", func(t *testing.T, kv *counted, _ []byte) { t.Helper(); drop(t, kv) }, true},
		{"restored from a backup", func(t *testing.T, kv *counted, backup []byte) {
			t.Helper()
			drop(t, kv)
			kv.Put(path, backup)
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := newCounted()
				r := replica(kv)
				save(t, r)
				backup, _, _, err := kv.Engine.ReadVersion(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				r.Use("a").Used(time.Now(), false)
				save(t, r)
				time.Sleep(time.Hour)
				lost := time.Now().Truncate(time.Minute)
				test.lose(t, kv, backup)
				if test.anew {
					r = replica(kv)
				}
				time.Sleep(time.Hour)
				r.Use("b").Used(time.Now(), false)
				save(t, r)
				for range 2 {
					if at, since := last(t, r, "a"); !at.IsZero() || since.Before(lost) {
						t.Errorf("used at %s, known since %s; want no use that is known of, since a time after %s", at, since, lost)
					}
					r = replica(kv)
				}
				// It goes on from there.
				_, since := last(t, r, "a")
				time.Sleep(time.Hour)
				r.Use("b").Used(time.Now(), false)
				save(t, r)
				if _, now := last(t, r, "a"); !now.Equal(since) {
					t.Errorf("known since %s, and later since %s", since, now)
				}
			})
		})
	}
}

func TestAReplicaWritesAtMostOnceAMinuteAndOnlyNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := newCounted()
		r := replica(kv)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		use := r.Use("a")
		time.Sleep(time.Minute)
		if kv.writes.Load() != 1 {
			t.Errorf("%d writes in the first minute, want that which says since when uses are recorded", kv.writes.Load())
		}
		for range 60 * 60 {
			use.Used(time.Now(), false)
			time.Sleep(time.Second)
		}
		if kv.writes.Load() < 50 || kv.writes.Load() > 70 {
			t.Errorf("%d writes in an hour of uses, want about 60", kv.writes.Load())
		}
		time.Sleep(2 * time.Minute)
		reads, writes := kv.reads.Load(), kv.writes.Load()
		time.Sleep(24 * time.Hour)
		if kv.writes.Load() != writes || kv.reads.Load() != reads {
			t.Errorf("%d writes and %d reads in a day without uses, want none", kv.writes.Load()-writes, kv.reads.Load()-reads)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsLostWhileTheEngineFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.InfoLevel)
		kv := memkv.New()
		r := New(zap.New(core))
		r.KeepIn(kv)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		time.Sleep(time.Hour)
		kv.Fail(errors.New("it is sealed"))
		used := time.Now()
		r.Use("a").Used(used, false)
		time.Sleep(8 * time.Hour)
		kv.Fail(nil)
		time.Sleep(2 * maxPause)
		if at, _ := last(t, replica(kv), "a"); !at.Equal(used.Truncate(time.Minute)) {
			t.Errorf("another replica is told %s, want %s", at, used)
		}
		var said []string
		for _, line := range lines.All() {
			said = append(said, line.Message)
		}
		if len(said) != 2 || !strings.Contains(said[0], "not saved") || !strings.Contains(said[1], "saved again") {
			t.Errorf("the log says %q", said)
		}
		stop()
		synctest.Wait()
	})
}

func TestMarksDoNotPileUpWhileTheEngineFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		r := replica(kv)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		kv.Fail(errors.New("it is sealed"))
		time.Sleep(8 * time.Hour)
		for range 2 * maxPause / Interval {
			r.Use("a").Used(time.Now(), false)
			time.Sleep(Interval + firstPause)
			synctest.Wait()
			if r.queue.first.Load() != nil {
				t.Fatal("a mark was not gathered within a minute")
			}
		}
		stop()
		synctest.Wait()
	})
}

// TestOneBadDocumentDoesNotStopTheOthers also looks at the log: one line when something cannot be
// saved, and one when all is saved again.
func TestOneBadDocumentDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bad, good = "used/1-000", "used/1-001"
		core, lines := observer.New(zap.InfoLevel)
		kv := memkv.New()
		kv.Put(bad, []byte(`{"format":2}`))
		r := New(zap.New(core))
		r.KeepIn(kv)
		var uses []*Use
		for i := range 20 {
			uses = append(uses, r.Use(fmt.Sprint(i)))
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		work := func() {
			for range 60 {
				for _, u := range uses {
					u.Used(time.Now(), false)
				}
				time.Sleep(time.Minute)
			}
		}
		latest := func(path string) minute {
			raw, _, _, err := kv.ReadVersion(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			d, err := decode(raw)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			var at minute
			for _, m := range d.last {
				at = max(at, m)
			}
			return at
		}
		recent := func() minute { return minuteOf(time.Now().Add(-maxPause)) }
		work()
		if latest(good) < recent() {
			t.Error("what is not bad is not saved")
		}
		if n := lines.Len(); n != 1 {
			t.Errorf("%d lines, want one: %v", n, lines.All())
		}
		kv.Put(bad, []byte(`{"format":1}`))
		work()
		if latest(good) < recent() || latest(bad) < recent() {
			t.Error("not all is saved after the bad one was replaced")
		}
		if said := lines.All(); len(said) != 2 || !strings.Contains(said[1].Message, "saved again") {
			t.Errorf("the log says %v", said)
		}
		stop()
		synctest.Wait()
	})
}

// TestNothingWaitsLongerThanItsContext: a stop and a call of the admin API have less time than an
// engine that hangs.
func TestNothingWaitsLongerThanItsContext(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, *Tracker) error{
		"a stop":      func(ctx context.Context, r *Tracker) error { return r.Flush(ctx) },
		"all of them": func(ctx context.Context, r *Tracker) error { _, err := r.All(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := newCounted()
				r := replica(kv)
				save(t, r)
				kv.hold = make(chan struct{})
				r.Use("a").Used(time.Now(), false)
				first := make(chan error)
				go func() { first <- do(t.Context(), r) }()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				if err := do(ctx, r); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("got %v after %s, want the end of its context", err, time.Since(began))
				}
				close(kv.hold)
				if err := <-first; err != nil {
					t.Errorf("the first one: %v", err)
				}
			})
		})
	}
}

func TestReplicasThatWriteAtTheSameTimeLoseNothing(t *testing.T) {
	t.Parallel()
	kv := newCounted()
	one, two := replica(kv), replica(kv)
	now := time.Now()
	one.Use("a").Used(now, false)
	two.Use("b").Used(now, false)
	kv.refuse = 1
	kv.other = func() {
		kv.mu.Unlock()
		defer kv.mu.Lock()
		save(t, two)
	}
	save(t, one)
	for _, token := range []string{"a", "b"} {
		if at, _ := last(t, replica(kv), token); at.IsZero() {
			t.Errorf("the use of %s is lost", token)
		}
	}
}

func TestAStopSavesEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := newCounted()
		r := replica(kv)
		now := time.Now()
		const all = 2 * maxEntries
		for i := range all {
			r.Use(fmt.Sprint(i)).Used(now, false)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		table, err := replica(kv).table(t.Context(), func(part) bool { return true })
		if err != nil || len(table.keys) != all {
			t.Fatalf("%d credentials, %v, want %d", len(table.keys), err, all)
		}
		parts, err := r.parts(t.Context())
		if err != nil || len(parts) < 2 || len(parts) > 8 {
			t.Errorf("%d documents, %v", len(parts), err)
		}
		for _, p := range parts {
			raw, _, _, err := kv.Engine.ReadVersion(t.Context(), p.path())
			if err != nil || len(raw) > 256<<10 {
				t.Errorf("%s has %d bytes, %v", p.path(), len(raw), err)
			}
		}
		// All of them again, a document a minute.
		for range parts {
			time.Sleep(time.Minute)
			save(t, r)
		}
		time.Sleep(time.Minute)
		writes := kv.writes.Load()
		later := time.Now()
		for i := range all {
			r.Use(fmt.Sprint(i)).Used(later, false)
		}
		for more := true; more; {
			if more, err = r.save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := kv.writes.Load() - writes; n > 8 {
			t.Errorf("%d writes for all again, want at most one for each document", n)
		}
		for _, i := range []int{0, all / 2, all - 1} {
			if at, _ := last(t, r, fmt.Sprint(i)); !at.Equal(later.Truncate(time.Minute)) {
				t.Errorf("credential %d: %s, want %s", i, at, later)
			}
		}
	})
}

func TestWhatIsForgottenIsNotSaidToBeUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := newCounted()
		r := replica(kv)
		used := time.Now()
		r.Use("old").Used(used, false)
		save(t, r)
		time.Sleep((maxAge + 10) * time.Minute)
		r.Use("new").Used(time.Now(), false)
		save(t, r)
		at, since := last(t, r, "old")
		if !at.IsZero() || !since.After(used) {
			t.Errorf("got %s since %s, want no use since a time after %s", at, since, used)
		}
	})
}

func TestADocumentThatCannotBeUnderstoodIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{}`, `[]`, `{"format":2}`, `{"format":1,"entries":"!"}`, `{"format":1,"entries":"/w=="}`, `{"format":1,"entries":"AQE="}`} {
		kv := newCounted()
		kv.Put("used/0-000", []byte(raw))
		r := replica(kv)
		r.Use("a").Used(time.Now(), false)
		if _, err := r.save(t.Context()); !errors.Is(err, errDocument) {
			t.Errorf("%s: %v", raw, err)
		}
		if _, _, err := r.Last(t.Context(), "a"); !errors.Is(err, errDocument) {
			t.Errorf("%s: %v", raw, err)
		}
		if kv.writes.Load() > 0 {
			t.Errorf("%s: it was written over", raw)
		}
	}
}

func TestPartsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for level := range maxLevel + 1 {
		for number := range 1 << level {
			p := part{level, number}
			if got, ok := parsePart(p.name()); !ok || got != p {
				t.Errorf("%s: %v %t", p.name(), got, ok)
			}
			if level > 0 && p.end() != 0 && partOf(p.end(), level).number != number+1 {
				t.Errorf("%s ends at %x", p.name(), p.end())
			}
		}
	}
	for _, name := range []string{"", "0", "0-0", "0-001", "9-000", "-1-000", "1-002", "1-000x", "meta"} {
		if p, ok := parsePart(name); ok {
			t.Errorf("%q is %v", name, p)
		}
	}
}

func TestUsesAreMarkedAndGatheredAtTheSameTime(t *testing.T) {
	t.Parallel()
	r := replica(newCounted())
	uses := make([]*Use, 100)
	for i := range uses {
		uses[i] = r.Use(fmt.Sprint(i))
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for m := range 1000 {
				for _, u := range uses {
					u.Used(began.Add(time.Duration(m)*time.Minute), false)
				}
			}
		})
	}
	for range 100 {
		r.gather()
	}
	wg.Wait()
	r.gather()
	want := minuteOf(began.Add(999 * time.Minute))
	for i := range uses {
		if got := r.pending[keyOf(fmt.Sprint(i))]; got != want {
			t.Errorf("credential %d: %d, want %d", i, got, want)
		}
	}
}

func TestAllocNothingForAUse(t *testing.T) {
	r := replica(newCounted())
	u, now := r.Use("a"), time.Now()
	if got := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Minute)
		u.Used(now, false)
		u.Used(now, false)
	}); got != 0 {
		t.Errorf("%g allocations, want 0", got)
	}
}

// BenchmarkUsed is what a use costs within a minute, on all processors.
func BenchmarkUsed(b *testing.B) {
	u, now := replica(newCounted()).Use("a"), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			u.Used(now, false)
		}
	})
}

// BenchmarkSaveOfAMillion is what a minute costs a replica if it has a million credentials in use.
func BenchmarkSaveOfAMillion(b *testing.B) {
	r := replica(newCounted())
	now := time.Now()
	mark := func() {
		for i := range 1_000_000 {
			r.Use(fmt.Sprint(i)).Used(now, false)
		}
	}
	mark()
	if err := r.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		now = now.Add(time.Minute)
		mark()
		b.StartTimer()
		if _, err := r.save(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
