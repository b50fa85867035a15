package state_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// long is a consumer that fills a segment of the log.
func long(i int) state.Record {
	r := consumer(i)
	r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 17<<10))
	return r
}

func fill(t *testing.T, n *node, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		create(t, n, long(i))
	}
}

// ring is how many segments the log has. A checkpoint is due after half of them.
const ring = 64

// readAnew returns the state as a replica that starts now reads it.
func readAnew(t *testing.T, kv state.Engine) *state.View {
	t.Helper()
	return view(t, open(t, kv))
}

func wantConsumers(t *testing.T, v *state.View, want int) {
	t.Helper()
	if got := v.Len(state.KindConsumers); got != want {
		t.Errorf("%d consumers, want %d", got, want)
	}
	for i := range want {
		if _, err := v.ByUnique(state.KindConsumers, fmt.Sprintf("username=user-%d", i)); err != nil {
			t.Errorf("user-%d: %v", i, err)
		}
	}
}

// pieces does something before each write of a piece of a checkpoint.
type pieces struct {
	state.Engine
	before func(ctx context.Context) error
}

func (p pieces) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if strings.HasPrefix(path, "checkpoint-") {
		if err := p.before(ctx); err != nil {
			return 0, false, err
		}
	}
	return p.Engine.WriteVersion(ctx, path, document, cas)
}

func TestLeaseOutlivesACheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a := open(t, kv)
		taken := make(chan error, 1)
		err := a.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error {
			fill(t, a, 0, ring) // so that the lease is not in the log any more
			synctest.Wait()
			b := open(t, kv)
			go func() {
				taken <- b.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error { return nil })
			}()
			time.Sleep(2 * time.Second)
			if len(taken) > 0 {
				t.Error("another replica changes the credential at the same time")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(taken) != 1 || <-taken != nil {
			t.Error("the other replica does not go on when the lease has ended")
		}
		time.Sleep(time.Second) // for what goes on in the background
	})
}

// It is not taken over at once, since the writer may still be at work. If the log is full
// meanwhile, changes fail.
func TestCheckpointOfAWriterThatCrashedIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a := open(t, pieces{kv, func(context.Context) error { return errServer }})
		fill(t, a, 0, ring/2+1)
		synctest.Wait()
		b := open(t, kv)
		began := time.Now()
		fill(t, b, ring/2+1, ring)
		for i := ring; i < 2*ring; {
			switch _, err := b.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(long(i)) }); {
			case err == nil:
				i++
			case !errors.Is(err, authz.ErrUnavailable) || time.Since(began) > 40*time.Second:
				t.Fatalf("change %d after %s: %v", i, time.Since(began), err)
			default:
				wantConsumers(t, readAnew(t, kv), i) // nothing that is needed was written over
				time.Sleep(5 * time.Second)
			}
		}
		if took := time.Since(began); took < 30*time.Second {
			t.Errorf("the writer was left alone for %s, want half a minute", took)
		}
		synctest.Wait()
		wantConsumers(t, readAnew(t, kv), 2*ring)
	})
}

func TestLateWritesOfACheckpointThatWasTakenOverAreNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		a := open(t, pieces{kv, func(ctx context.Context) error { return takes(ctx, 50*time.Second) }})
		fill(t, a, 0, ring/2+1)
		synctest.Wait()
		b := open(t, kv)
		n := ring/2 + 1
		for range 8 {
			for range 10 { // a second each
				fill(t, b, n, n+1)
				n++
				time.Sleep(time.Second)
			}
			wantConsumers(t, readAnew(t, kv), n)
		}
		time.Sleep(time.Minute)
		wantConsumers(t, readAnew(t, kv), n)
	})
}

// That happens again and again, and one of the replicas does it.
func TestCheckpointIsWrittenBeforeTheLogIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var announced atomic.Int64
		kv := memkv.New()
		engine := announcing{kv, &announced}
		a, aLogs := openLogged(t, engine)
		b, bLogs := openLogged(t, engine)
		for i := range ring {
			create(t, a, long(2*i))
			synctest.Wait()
			create(t, b, long(2*i+1))
			synctest.Wait()
			raw, _, err := kv.Read(t.Context(), "checkpoint")
			var at struct{ Segment int }
			if err := errors.Join(err, json.Unmarshal(raw, &at)); err != nil {
				t.Fatal(err)
			}
			if behind := 2*i + 2 - at.Segment; behind > ring/2+1 {
				t.Fatalf("after %d segments the checkpoint is %d behind, want at most half of the ring, %d", 2*i+2, behind, ring/2)
			}
		}
		// The first entry, and for each checkpoint its announcement and its end.
		written := aLogs.FilterMessageSnippet("checkpoint of the state written").Len() + bLogs.FilterMessageSnippet("checkpoint of the state written").Len()
		if got := int(announced.Load()); written > 2*ring/(ring/2) || got != 1+2*written {
			t.Errorf("%d checkpoints of %d segments with %d writes of the entry, want one for each half of the ring, with two writes", written, 2*ring, got)
		}
		if warned := aLogs.FilterLevelExact(zap.WarnLevel).Len() + bLogs.FilterLevelExact(zap.WarnLevel).Len(); warned != 0 {
			t.Errorf("%d warnings, want none", warned)
		}
	})
}

// announcing counts the writes of the entry of the checkpoint.
type announcing struct {
	state.Engine
	writes *atomic.Int64
}

func (a announcing) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if path == "checkpoint" {
		a.writes.Add(1)
	}
	return a.Engine.WriteVersion(ctx, path, document, cas)
}

// openLogged is open, and returns what is logged.
func openLogged(t *testing.T, kv state.Engine) (*node, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	n := &node{dropped: map[string]int{}}
	s, err := state.New(kv, state.DefaultConfig(), n.watcher(), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	n.Store = s
	return n, logs
}

func TestCheckpointThatFailsIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, logs := openLogged(t, pieces{memkv.New(), func(context.Context) error { return errServer }})
		fill(t, n, 0, ring/2+1)
		synctest.Wait()
		if got := logs.FilterMessageSnippet("writing a checkpoint of the state failed").Len(); got != 1 || logs.Len() != 1 {
			t.Errorf("%d lines of %d say that no checkpoint was written, want one", got, logs.Len())
		}
	})
}

// refusing refuses to announce a checkpoint, as if another replica had been faster.
type refusing struct {
	state.Engine
	pieces atomic.Int64
}

func (r *refusing) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	switch {
	case path == "checkpoint" && cas > 0:
		return 0, false, nil
	case strings.HasPrefix(path, "checkpoint-"):
		r.pieces.Add(1)
	}
	return r.Engine.WriteVersion(ctx, path, document, cas)
}

func TestCheckpointThatCannotBeAnnouncedIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &refusing{Engine: memkv.New()}
		n, logs := openLogged(t, kv)
		fill(t, n, 0, ring/2+1)
		synctest.Wait()
		if kv.pieces.Load() != 0 || logs.Len() != 0 {
			t.Errorf("%d pieces were written, and logged: %v; want none, and nothing", kv.pieces.Load(), logs.All())
		}
	})
}

// between does something before the second read of the entry of the checkpoint, after it
// was armed.
type between struct {
	state.Engine
	armed bool
	reads int
	do    func()
}

func (b *between) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	if b.armed && path == "checkpoint" {
		if b.reads++; b.reads == 2 {
			b.do()
		}
	}
	return b.Engine.ReadVersion(ctx, path)
}

func TestCheckpointIsNotReplacedByAnEarlierOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		position := func() int {
			raw, _, err := kv.Read(t.Context(), "checkpoint")
			var at struct{ Position int }
			if err := errors.Join(err, json.Unmarshal(raw, &at)); err != nil {
				t.Error(err)
			}
			return at.Position
		}
		late := &between{Engine: kv}
		a, b := open(t, late), open(t, kv)
		fill(t, a, 0, ring/2-1)
		var later atomic.Int64
		late.armed, late.do = true, func() {
			for i := ring / 2; i < ring; i++ {
				add(t, b, long(i))
			}
			time.Sleep(time.Second)
			later.Store(int64(position()))
		}
		add(t, a, long(ring/2-1)) // due now
		time.Sleep(time.Minute)
		if at := later.Load(); at == 0 || int64(position()) != at {
			t.Errorf("the checkpoint is at %d, want it at %d as before", position(), at)
		}
		wantConsumers(t, readAnew(t, kv), ring)
	})
}

func TestPieceOfAnotherCheckpointIsNotRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"by another writer": {`"by":"`, `"by":"x`},
		"of another place":  {`"piece":0`, `"piece":1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const path = "checkpoint-b/0000"
				kv := memkv.New()
				fill(t, open(t, kv), 0, ring/2+1)
				synctest.Wait()
				raw, _, err := kv.Read(t.Context(), path)
				other := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)
				if err != nil || bytes.Equal(raw, other) {
					t.Fatalf("the piece is not what it was: %v", err)
				}
				kv.Put(path, other)
				if err := open(t, kv).Refresh(t.Context()); !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), "do not fit together") {
					t.Errorf("Refresh = %v, want that the checkpoint and the log do not fit together", err)
				}
			})
		})
	}
}

func TestMalformedEntryIsRefusedAndNotOverwritten(t *testing.T) {
	t.Parallel()
	const (
		line     = `{"by":"x","at":1,"ops":[{"op":"delete","kind":"consumers","id":"x"}]}`
		segments = "not a segment"
		points   = "not a checkpoint"
	)
	for _, test := range []struct{ name, path, document, want string }{
		{"a segment of no log", "log/00", `{"format":2,"log":"","segment":0,"first":1,"lines":""}`, segments},
		{"a segment below the first", "log/00", `{"format":2,"log":"x","segment":-1,"first":1,"lines":""}`, segments},
		{"a segment with no first line", "log/00", `{"format":2,"log":"x","segment":0,"first":0,"lines":""}`, segments},
		{"a segment that is no JSON", "log/00", `{`, "not JSON"},
		{"a segment of the wrong shape", "log/00", `{"format":2,"log":1}`, "has another form"},
		{"a segment without a format", "log/00", `{"log":"x","segment":0,"first":1,"lines":""}`, "has another form"},
		{"a checkpoint of no log", "checkpoint", `{"format":2,"log":"","position":0,"segment":0,"set":"a","pieces":0}`, points},
		{"a checkpoint before the first change", "checkpoint", `{"format":2,"log":"x","position":-1,"segment":0,"set":"a","pieces":0}`, points},
		{"a checkpoint before the first segment", "checkpoint", `{"format":2,"log":"x","position":0,"segment":-1,"set":"a","pieces":0}`, points},
		{"a checkpoint of less than nothing", "checkpoint", `{"format":2,"log":"x","position":0,"segment":0,"set":"a","pieces":-1}`, points},
		{"a checkpoint in no set", "checkpoint", `{"format":2,"log":"x","position":0,"segment":0,"set":"c","pieces":0}`, points},
		{"a line that is no JSON", "log/00", segmentOf(`{`), "not a batch"},
		{"a line without a writer", "log/00", segmentOf(strings.Replace(line, `"x"`, `""`, 1)), "not a batch"},
		{"a line with an unknown operation", "log/00", segmentOf(strings.Replace(line, "delete", "destroy", 1)), "unknown operation"},
		{"a line with a record without an id", "log/00", segmentOf(strings.Replace(line, "delete", "put", 1)), "UUID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			kv := memkv.New()
			kv.Put("checkpoint", []byte(`{"format":2,"log":"x","position":0,"segment":0,"set":"b","pieces":0}`))
			kv.Put("log/00", []byte(segmentOf(line)))
			wantConsumers(t, readAnew(t, kv), 0)
			kv.Put(test.path, []byte(test.document))
			n := open(t, kv)
			if err := n.Refresh(t.Context()); !errors.Is(err, authz.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Refresh = %v, want a refusal that has %q", err, test.want)
			}
			if _, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(consumer(1)) }); err == nil {
				t.Error("a change was made on top of it")
			}
			if got, _, _ := kv.Read(t.Context(), test.path); string(got) != test.document {
				t.Errorf("it was written over: %s", got)
			}
		})
	}
}

// segmentOf is the first segment of a log, with one line.
func segmentOf(line string) string {
	return fmt.Sprintf(`{"format":2,"log":"x","segment":0,"first":1,"lines":%q}`, line+"\n")
}
