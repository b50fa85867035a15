package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/memkv"
)

// start runs a replica until the test or stop ends it, as a crash does. The list leaves by Leave.
func start(t *testing.T, kv Engine, name string) (l *List, stop func()) {
	t.Helper()
	return startLogging(t, kv, name, zap.NewNop())
}

func startLogging(t *testing.T, kv Engine, name string, log *zap.Logger) (l *List, stop func()) {
	t.Helper()
	self := Replica{Name: name, Version: "1.2.3", StartedAt: time.Now().Unix(), Current: true, ConfigHash: "e3b0"}
	l = NewList(kv, func() Replica { return self }, log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run returned %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return l, stop
}

// seen returns the names of the replicas that l knows of, with a mark where they are missing.
func seen(l *List) (names []string) {
	for _, r := range l.Snapshot(l.self()).Data {
		name := r.Name
		if r.Missing {
			name += " missing"
		}
		names = append(names, name)
	}
	return names
}

func check(t *testing.T, l *List, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, seen(l)); diff != "" {
		t.Errorf("the replicas that are seen (-want +got):\n%s", diff)
	}
}

func TestReplicasSeeEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		b, _ := start(t, kv, "b")
		check(t, b, "b")
		if s := b.Snapshot(b.self()); s.ReadAt != 0 || s.Problem != "" {
			t.Errorf("before the others were read: %+v", s)
		}
		time.Sleep(time.Hour)
		a, _ := start(t, kv, "a")
		_, _ = start(t, kv, "c")
		time.Sleep(10 * time.Second)
		time.Sleep(2 * interval)
		synctest.Wait()
		check(t, a, "a", "b", "c")
		check(t, b, "b", "a", "c")

		s := a.Snapshot(a.self())
		now := time.Now().Unix()
		if s.ReadAt < now-70 || s.ReadAt > now || s.Problem != "" {
			t.Errorf("read at %d, now is %d, problem %q", s.ReadAt, now, s.Problem)
		}
		for _, r := range s.Data {
			if r.Version != "1.2.3" || r.StartedAt == 0 || !r.Current || r.ConfigHash != "e3b0" || r.ReloadFailed || r.SeenAt < now-150 || r.SeenAt > now {
				t.Errorf("got %+v, now is %d", r, now)
			}
		}
	})
}

func TestAReplicaThatStopsIsNoLongerSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, _ := start(t, kv, "a")
		b, stop := start(t, kv, "b")
		time.Sleep(5 * interval)
		check(t, a, "a", "b")
		if err := b.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		// It still runs for a while, and does not come back.
		time.Sleep(5 * interval)
		check(t, a, "a")
		stop()
	})
}

func TestAReplicaThatLeavesWhileItWritesDoesNotComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &between{Engine: memkv.New()}
		l := NewList(kv, func() Replica { return Replica{Name: "a"} }, zap.NewNop())
		kv.beforeWrite = func() {
			if err := l.Leave(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := l.announce(t.Context()); !errors.Is(err, errLeft) {
			t.Errorf("got %v", err)
		}
		other, _ := start(t, kv, "b")
		time.Sleep(interval)
		check(t, other, "b")
	})
}

func TestAReplicaThatCrashesIsMissingForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, _ := start(t, kv, "a")
		_, crash := start(t, kv, "b")
		time.Sleep(5 * interval)
		crash()
		time.Sleep(interval)
		check(t, a, "a", "b")
		time.Sleep(5 * interval)
		check(t, a, "a", "b missing")
		time.Sleep(keptFor)
		check(t, a, "a")
	})
}

func TestAReplicaThatStartsAnewTakesThePlaceOfTheOneBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, _ := start(t, kv, "a")
		_, crash := start(t, kv, "b")
		time.Sleep(5 * interval)
		crash()
		time.Sleep(time.Second)
		_, _ = start(t, kv, "b")
		for range 60 {
			time.Sleep(interval / 6)
			if got := seen(a); slices.Contains(got, "b missing") {
				t.Fatalf("got %q", got)
			}
		}
		check(t, a, "a", "b")
	})
}

// TestClocksThatDifferDoNotMatter: a replica whose clock is wrong neither looks missing nor makes
// others look so, and after a crash it is as missing as any other.
func TestClocksThatDifferDoNotMatter(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-24 * time.Hour, -4 * time.Minute, 4 * time.Minute, 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				a, _ := start(t, kv, "a")
				_, _ = start(t, kv, "b")
				_, crash := start(t, &skewed{kv, ahead}, "wrong")
				time.Sleep(2 * interval)
				for range 60 {
					time.Sleep(interval)
					check(t, a, "a", "b", "wrong")
				}
				crash()
				time.Sleep(6 * interval)
				check(t, a, "a", "b", "wrong missing")
				time.Sleep(keptFor)
				check(t, a, "a", "b")
			})
		})
	}
}

// skewed writes the times of replicas as a clock does that is ahead.
type skewed struct {
	*memkv.Engine

	ahead time.Duration
}

func (s *skewed) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	now := time.Now().Unix()
	written := strings.ReplaceAll(string(document), fmt.Sprintf(`"seen_at":%d`, now), fmt.Sprintf(`"seen_at":%d`, now+int64(s.ahead.Seconds())))
	return s.Engine.WriteVersion(ctx, path, []byte(written), cas)
}

func TestContentionIsToldTheSecondTime(t *testing.T) {
	t.Parallel()
	for writes, want := range map[int64]int{attempts: 0, 2 * attempts: 1} {
		synctest.Test(t, func(t *testing.T) {
			kv := &contended{Engine: memkv.New()}
			kv.left.Store(writes)
			core, logs := observer.New(zap.WarnLevel)
			l, _ := startLogging(t, kv, "a", zap.New(core))
			time.Sleep(10 * interval)
			if n := logs.Len(); n != want {
				t.Errorf("%d lines after %d writes that another replica was faster with, want %d", n, writes, want)
			}
			if p := l.Snapshot(l.self()).Problem; p != "" {
				t.Errorf("the problem stays: %s", p)
			}
		})
	}
}

// contended refuses writes for a while.
type contended struct {
	*memkv.Engine

	left atomic.Int64
}

func (c *contended) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if c.left.Add(-1) >= 0 {
		return 0, false, nil
	}
	return c.Engine.WriteVersion(ctx, path, document, cas)
}

func TestReplicasOfOneMachineAreSeenBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, _ := start(t, kv, "host")
		time.Sleep(5 * interval)
		b, _ := start(t, kv, "host")
		time.Sleep(10 * time.Second)
		check(t, b, "host", "host")
		time.Sleep(5 * interval)
		check(t, a, "host", "host")
	})
}

func TestAReplicaThatCannotReadTheOthersSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		core, logs := observer.New(zap.InfoLevel)
		a, _ := startLogging(t, kv, "a", zap.New(core))
		_, _ = start(t, kv, "b")
		time.Sleep(5 * interval)
		down := errors.New("the server is sealed")
		kv.Fail(down)
		time.Sleep(30 * interval)
		// Nothing is known of b since: it is not said to be missing.
		check(t, a, "a", "b")
		if s := a.Snapshot(a.self()); !strings.Contains(s.Problem, down.Error()) || s.ReadAt > time.Now().Add(-25*interval).Unix() {
			t.Errorf("while the server is down: %+v", s)
		}
		kv.Fail(nil)
		time.Sleep(2 * maxPause)
		check(t, a, "a", "b")
		if s := a.Snapshot(a.self()); s.Problem != "" || s.ReadAt < time.Now().Add(-2*interval).Unix() {
			t.Errorf("after that: %+v", s)
		}
		var told []string
		for _, l := range logs.All() {
			told = append(told, l.Level.String()+" "+l.Message)
		}
		want := []string{
			"warn other replicas do not see this one in their overviews; it is tried again",
			"info other replicas see this one in their overviews again",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
}

func TestOddEntries(t *testing.T) {
	t.Parallel()
	later := `{"format":1,"replicas":{"x":{"replica":"later","seen_at":%d,"what":"is new"}}}`
	tests := map[string]struct {
		entry string
		want  []string
		fails bool
	}{
		"none":                                {"", []string{"a"}, false},
		"no replicas":                         {`{"format":1}`, []string{"a"}, false},
		"a later format is left alone":        {`{"format":2,"replicas":{}}`, []string{"a"}, true},
		"what is no entry is left alone":      {`{"format":1,"replicas":[]}`, []string{"a"}, true},
		"more from a later version is kept":   {later, []string{"a", "later"}, false},
		"what says nothing is dropped":        {`{"format":1,"replicas":{"x":7,"y":null,"z":{}}}`, []string{"a"}, false},
		"a time of another kind is dropped":   {`{"format":1,"replicas":{"x":{"replica":"x","seen_at":"now"}}}`, []string{"a"}, false},
		"what was seen in the future is kept": {strings.Replace(later, "%d", "4070908800", 1), []string{"a", "later"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				entry := test.entry
				if strings.Contains(entry, "%d") {
					entry = fmt.Sprintf(entry, time.Now().Unix())
				}
				if entry != "" {
					kv.Put(path, []byte(entry))
				}
				l, _ := start(t, kv, "a")
				time.Sleep(10 * time.Second)
				check(t, l, test.want...)
				raw, _, err := kv.Read(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				if problem := l.Snapshot(l.self()).Problem; (problem != "") != test.fails {
					t.Errorf("the problem is %q, want one: %t", problem, test.fails)
				}
				if test.fails && string(raw) != entry {
					t.Errorf("the entry became %s", raw)
				}
				if strings.Contains(entry, "is new") && !strings.Contains(string(raw), `"what":"is new"`) {
					t.Errorf("what a later version tells is lost: %s", raw)
				}
			})
		})
	}
}

func TestTheEntryIsBounded(t *testing.T) {
	t.Parallel()
	s, err := decode(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxReplicas + 100 {
		if err := s.put(fmt.Sprint(i), Replica{Name: fmt.Sprint(i), SeenAt: int64(1_000_000 + i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	all := s.all()
	if _, oldest := all["99"]; len(all) != maxReplicas || oldest || all["100"].Name != "100" {
		t.Errorf("%d are kept, and the first that is missed is there: %t", len(all), oldest)
	}
}

func TestManyReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		var lists []*List
		for i := range 40 {
			l, _ := start(t, kv, fmt.Sprintf("replica-%02d", i))
			lists = append(lists, l)
		}
		time.Sleep(3 * interval)
		for _, l := range lists {
			if n := len(l.Snapshot(l.self()).Data); n != 40 {
				t.Errorf("%d replicas are seen, want 40", n)
			}
		}
	})
}

// TestASnapshotIsTheSameEachTime: it must not hand out what another write changes.
func TestASnapshotIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a, _ := start(t, kv, "a")
		_, crash := start(t, kv, "b")
		time.Sleep(2 * interval)
		s := a.Snapshot(a.self())
		before, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		crash()
		time.Sleep(2 * time.Hour)
		a.Snapshot(a.self())
		if after, _ := json.Marshal(s); string(after) != string(before) {
			t.Errorf("%s became %s", before, after)
		}
	})
}

// between calls something once before a write.
type between struct {
	*memkv.Engine

	beforeWrite func()
}

func (b *between) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if before := b.beforeWrite; before != nil {
		b.beforeWrite = nil
		before()
	}
	return b.Engine.WriteVersion(ctx, path, document, cas)
}
