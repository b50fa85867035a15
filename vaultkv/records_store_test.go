package vaultkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Fatalf("%s = %v, want %v", what, got, want)
	}
}

func TestRecordsInMemory(t *testing.T) {
	t.Parallel()
	recordsConformance(t, memkv.New())
}

// recordsConformance is what the store of records does on any engine.
func recordsConformance(t *testing.T, kv vaultkv.Versioned) {
	t.Helper()
	ctx := t.Context()
	s := newRecords(t, kv, nil)

	if got, err := s.List(ctx, authz.KindConsumers); err != nil || len(got) != 0 {
		t.Fatalf("List of nothing = %v, %v, want none", got, err)
	}
	version, err := s.Create(ctx, consumer(1, 0, "username=alice", "custom_id=1"))
	wantErr(t, "Create", err, nil)
	got, err := s.Get(ctx, authz.KindConsumers, id(1))
	wantErr(t, "Get", err, nil)
	want := consumer(1, version, "custom_id=1", "username=alice")
	if diff := cmp.Diff(want, compacted(t, got)); diff != "" {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	_, err = s.Create(ctx, consumer(1, 0, "username=other"))
	wantErr(t, "Create of the same id", err, authz.ErrConflict)
	_, err = s.Create(ctx, consumer(2, 0, "username=bob", "custom_id=1"))
	wantErr(t, "Create with a taken key", err, authz.TakenError{Key: "custom_id=1"})
	_, err = s.Create(ctx, consumer(2, 0, "username=bob", "username=bob"))
	wantErr(t, "Create with what the one before gave back", err, nil)

	newer, err := s.Replace(ctx, consumer(1, version, "username=carol", "custom_id=1"))
	wantErr(t, "Replace", err, nil)
	_, err = s.Replace(ctx, consumer(1, version, "username=dave"))
	wantErr(t, "Replace of an old version", err, authz.ErrConflict)
	_, err = s.Replace(ctx, consumer(1, newer, "username=bob"))
	wantErr(t, "Replace with a taken key", err, authz.TakenError{Key: "username=bob"})
	_, err = s.Replace(ctx, consumer(9, 1))
	wantErr(t, "Replace of nothing", err, authz.ErrNotFound)
	_, err = s.Create(ctx, consumer(3, 0, "username=alice"))
	wantErr(t, "Create with a key that was given up", err, nil)

	for key, want := range map[string]int{"username=alice": 3, "username=bob": 2, "username=carol": 1, "custom_id=1": 1} {
		r, err := s.ByUnique(ctx, authz.KindConsumers, key)
		if err != nil || r.ID != id(want) {
			t.Errorf("ByUnique(%q) = %q, %v, want %q", key, r.ID, err, id(want))
		}
	}
	_, err = s.ByUnique(ctx, authz.KindConsumers, "username=dave")
	wantErr(t, "ByUnique of a key of a failed write", err, authz.ErrNotFound)
	_, err = s.ByUnique(ctx, authz.KindACLs, "username=alice")
	wantErr(t, "ByUnique of another kind", err, authz.ErrNotFound)

	wantErr(t, "Delete", s.Delete(ctx, authz.KindConsumers, id(1)), nil)
	wantErr(t, "Delete again", s.Delete(ctx, authz.KindConsumers, id(1)), authz.ErrNotFound)
	_, err = s.Get(ctx, authz.KindConsumers, id(1))
	wantErr(t, "Get of what is deleted", err, authz.ErrNotFound)
	_, err = s.Replace(ctx, consumer(1, newer))
	wantErr(t, "Replace of what is deleted", err, authz.ErrNotFound)
	_, err = s.ByUnique(ctx, authz.KindConsumers, "username=carol")
	wantErr(t, "ByUnique of what is deleted", err, authz.ErrNotFound)
	listed, err := s.List(ctx, authz.KindConsumers)
	wantErr(t, "List", err, nil)
	if ids := idsOf(listed); !slices.Equal(ids, []string{id(2), id(3)}) {
		t.Errorf("List = %q, want 2 and 3", ids)
	}
	again, err := s.Create(ctx, consumer(1, 0, "username=carol"))
	wantErr(t, "Create of a deleted id", err, nil)
	if again <= newer {
		t.Errorf("a record made anew has version %d, want more than %d: old versions must not fit", again, newer)
	}
}

func compacted(t *testing.T, r authz.Record) authz.Record {
	t.Helper()
	r.Document = bytes.ReplaceAll(r.Document, []byte(" "), nil)
	// Vault keeps the members of an object, not their order.
	if string(r.Document) == `{"keys":2,"n":1}` {
		r.Document = []byte(`{"n":1,"keys":2}`)
	}
	return r
}

func idsOf(records []authz.Record) []string {
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestRecordsRefuseWhatNoStoreWouldTake(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	s := newRecords(t, kv, nil)
	for name, edit := range map[string]func(*authz.Record){
		"a kind of two segments":    func(r *authz.Record) { r.Kind = "a/b" },
		"no kind":                   func(r *authz.Record) { r.Kind = "" },
		"an id that is no UUID":     func(r *authz.Record) { r.ID = "../x" },
		"an id in upper case":       func(r *authz.Record) { r.ID = strings.ToUpper("a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52") },
		"no document":               func(r *authz.Record) { r.Document = nil },
		"a document of a list":      func(r *authz.Record) { r.Document = []byte("[]") },
		"a document that is cut":    func(r *authz.Record) { r.Document = []byte(`{"a":`) },
		"a unique key that is none": func(r *authz.Record) { r.Unique = []string{""} },
		"a version":                 func(r *authz.Record) { r.Version = 1 },
	} {
		r := consumer(1, 0, "username=alice")
		edit(&r)
		if _, err := s.Create(t.Context(), r); err == nil {
			t.Errorf("Create with %s = nil, want an error", name)
		}
	}
	if names, _ := kv.ListUnder(t.Context(), "unique/consumers"); len(names) != 0 {
		t.Errorf("claims are left: %q", names)
	}
}

func TestDamagedRecordsAreNamedAndTheOthersListed(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	s := newRecords(t, kv, nil)
	_, err := s.Create(t.Context(), consumer(1, 0))
	wantErr(t, "Create", err, nil)
	kv.Put("records/consumers/"+id(2), []byte(`{"document":"text"}`))
	got, err := s.List(t.Context(), authz.KindConsumers)
	if !errors.Is(err, authz.ErrMalformed) || !strings.Contains(err.Error(), id(2)) || !slices.Equal(idsOf(got), []string{id(1)}) {
		t.Errorf("List = %q, %v, want the good one and an error that names the other", idsOf(got), err)
	}
	_, err = s.Get(t.Context(), authz.KindConsumers, id(2))
	wantErr(t, "Get of the damaged one", err, authz.ErrMalformed)
	wantErr(t, "Delete of the damaged one", s.Delete(t.Context(), authz.KindConsumers, id(2)), nil)
	_, err = s.List(t.Context(), authz.KindConsumers)
	wantErr(t, "List after it", err, nil)
}

func TestTwoWritersOfOneNameInMemory(t *testing.T) {
	t.Parallel()
	twoWriters(t, memkv.New(), 500)
}

// twoWriters lets two replicas create the same username so many times.
func twoWriters(t *testing.T, kv vaultkv.Versioned, rounds int) {
	t.Helper()
	ctx := t.Context()
	// However slow the server is, the loser is to learn what became of the winner.
	patient := func(c *vaultkv.RecordsConfig) { c.Patience = c.Grace }
	replicas := []*vaultkv.Records{newRecords(t, kv, patient), newRecords(t, kv, patient)}
	for round := range rounds {
		name := fmt.Sprintf("username=user%d", round)
		start := make(chan struct{})
		errs := make([]error, len(replicas))
		var wg sync.WaitGroup
		for i, s := range replicas {
			wg.Go(func() {
				<-start
				_, errs[i] = s.Create(ctx, consumer(2*round+i+1, 0, name, fmt.Sprintf("custom_id=%d-%d", round, i)))
			})
		}
		close(start)
		wg.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 || !errors.Is(errs[1-winner], authz.TakenError{Key: name}) {
			t.Fatalf("round %d: the writers got %v, want one nil and one taken", round, errs)
		}
		r, err := replicas[0].ByUnique(ctx, authz.KindConsumers, name)
		if err != nil || r.ID != id(2*round+winner+1) {
			t.Fatalf("round %d: %q belongs to %q, %v, want the winner", round, name, r.ID, err)
		}
	}
	all, err := replicas[0].List(ctx, authz.KindConsumers)
	if err != nil || len(all) != rounds {
		t.Errorf("List = %d records, %v, want %d", len(all), err, rounds)
	}
}

// crashes are writes that a process may die in the middle of. Before them record
// 1 has the keys username=alice and custom_id=1.
var crashes = []struct {
	name  string
	write func(context.Context, *vaultkv.Records, int) error
	// done says whether the records are as the write leaves them.
	done func(authz.Record, error, authz.Record) bool
}{
	{
		"create",
		func(ctx context.Context, s *vaultkv.Records, _ int) error {
			_, err := s.Create(ctx, consumer(2, 0, "username=bob", "custom_id=2"))
			return err
		},
		func(_ authz.Record, _ error, second authz.Record) bool { return len(second.Unique) == 2 },
	},
	{
		"replace",
		func(ctx context.Context, s *vaultkv.Records, version int) error {
			_, err := s.Replace(ctx, consumer(1, version, "username=bob", "custom_id=1", "custom_id=2"))
			return err
		},
		func(first authz.Record, _ error, _ authz.Record) bool { return len(first.Unique) == 3 },
	},
	{
		"delete",
		func(ctx context.Context, s *vaultkv.Records, _ int) error {
			return s.Delete(ctx, authz.KindConsumers, id(1))
		},
		func(_ authz.Record, err error, _ authz.Record) bool { return errors.Is(err, authz.ErrNotFound) },
	},
}

// A crashed is a store after a crash, and how it came about.
type crashed struct {
	kv    vaultkv.Versioned
	grace func(*vaultkv.RecordsConfig)
	die   *mortal
	// write is the index of the write in crashes, version that of record 1.
	write, version int
}

// inMemory calls a test in a bubble, with an engine of its own.
func inMemory(t *testing.T, test func(*testing.T, vaultkv.Versioned)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, memkv.New()) })
}

func defaultGrace(*vaultkv.RecordsConfig) {}

// eachCrash calls test for a crash after each single write of each operation,
// with the last write done and not. on is where.
func eachCrash(t *testing.T, on func(*testing.T, func(*testing.T, vaultkv.Versioned)), grace func(*vaultkv.RecordsConfig), test func(*testing.T, crashed)) {
	t.Helper()
	for i, c := range crashes {
		for _, lands := range []bool{false, true} {
			for n := 0; ; n++ {
				var died bool
				t.Run(fmt.Sprintf("%s/%d writes/last done %t", c.name, n, lands), func(t *testing.T) {
					on(t, func(t *testing.T, kv vaultkv.Versioned) {
						t.Helper()
						version, err := newRecords(t, kv, grace).Create(t.Context(), consumer(1, 0, "username=alice", "custom_id=1"))
						wantErr(t, "Create", err, nil)
						die := &mortal{Versioned: kv, left: n, lands: lands}
						err = c.write(t.Context(), newRecords(t, die, grace), version)
						if err != nil && !errors.Is(err, authz.ErrUnavailable) {
							t.Fatalf("the write = %v, want %v", err, authz.ErrUnavailable)
						}
						died = die.gone
						if !died && err != nil {
							t.Fatalf("the write that was let = %v, want nil", err)
						}
						wantSound(t, kv)
						test(t, crashed{kv, grace, die, i, version})
						wantSound(t, kv)
					})
				})
				if !died {
					if n < 3 {
						t.Errorf("%s makes %d writes, the test expects more", c.name, n)
					}
					break
				}
			}
		}
	}
}

func TestCrashAfterEachWriteBlocksAndDoublesNoName(t *testing.T) {
	t.Parallel()
	eachCrash(t, inMemory, defaultGrace, wantNoNameBlocked)
}

func wantNoNameBlocked(t *testing.T, c crashed) {
	t.Helper()
	ctx := t.Context()
	config := vaultkv.DefaultRecordsConfig()
	c.grace(&config)
	s := newRecords(t, c.kv, c.grace)
	time.Sleep(config.Grace)
	for n, key := range []string{"username=alice", "custom_id=1", "username=bob", "custom_id=2"} {
		owner, err := s.ByUnique(ctx, authz.KindConsumers, key)
		var want error
		if err == nil {
			want = authz.TakenError{Key: key}
		} else {
			wantErr(t, "ByUnique of "+key, err, authz.ErrNotFound)
		}
		_, err = s.Create(ctx, consumer(10+n, 0, key))
		wantErr(t, fmt.Sprintf("Create with %s, which %q has,", key, owner.ID), err, want)
	}
}

// TestLeftoversOfWhatWasWrittenSinceAreFreeAtOnce: after the commit nobody has to
// wait for the grace.
func TestLeftoversOfWhatWasWrittenSinceAreFreeAtOnce(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	_, err := newRecords(t, kv, nil).Create(t.Context(), consumer(1, 0, "username=alice"))
	wantErr(t, "Create", err, nil)
	// The tombstone is written, the claim is not given back.
	die := &mortal{Versioned: kv, left: 1}
	wantErr(t, "Delete", newRecords(t, die, nil).Delete(t.Context(), authz.KindConsumers, id(1)), nil)
	if !die.gone {
		t.Fatal("the claim was given back, so this tests nothing")
	}
	_, err = newRecords(t, kv, nil).Create(t.Context(), consumer(2, 0, "username=alice"))
	wantErr(t, "Create", err, nil)
	wantSound(t, kv)
}

func TestStoreLostInTheMiddleAndARetryEndsInTheRightState(t *testing.T) {
	t.Parallel()
	eachCrash(t, inMemory, defaultGrace, wantRetryToEndWell)
}

func wantRetryToEndWell(t *testing.T, c crashed) {
	t.Helper()
	ctx, crash := t.Context(), crashes[c.write]
	c.die.revive()
	s := newRecords(t, c.die, c.grace)
	err := crash.write(ctx, s, c.version)
	if err != nil && !errors.Is(err, authz.ErrConflict) && !errors.Is(err, authz.ErrNotFound) {
		t.Fatalf("the retry = %v, want nil, or what says that it was done", err)
	}
	first, firstErr := s.Get(ctx, authz.KindConsumers, id(1))
	second, _ := s.Get(ctx, authz.KindConsumers, id(2))
	if !crash.done(first, firstErr, second) {
		t.Errorf("after the retry (%v): %q, %v, %q", err, first.Unique, firstErr, second.Unique)
	}
}

func TestSlowWriterWhoseClaimWasTakenOverLoses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		grace := vaultkv.DefaultRecordsConfig().Grace
		fast := newRecords(t, kv, nil)
		stopped := false
		slow := newRecords(t, intruder{kv, func(op, path string) {
			if op == "write" && path == "records/consumers/"+id(1) && !stopped {
				stopped = true
				_, err := fast.Create(t.Context(), consumer(2, 0, "username=alice"))
				wantErr(t, "Create within the grace", err, authz.ErrUnavailable)
				time.Sleep(grace)
				_, err = fast.Create(t.Context(), consumer(2, 0, "username=alice"))
				wantErr(t, "Create after the grace", err, nil)
			}
		}}, nil)
		_, err := slow.Create(t.Context(), consumer(1, 0, "username=alice", "custom_id=1"))
		wantErr(t, "the slow Create", err, authz.TakenError{Key: "username=alice"})
		_, err = fast.Get(t.Context(), authz.KindConsumers, id(1))
		wantErr(t, "Get of its record", err, authz.ErrNotFound)
		_, err = fast.Create(t.Context(), consumer(3, 0, "custom_id=1"))
		wantErr(t, "Create with its other key", err, nil)
		wantSound(t, kv)
	})
}

func TestTwoReplacementsThatAddTheSameKeyAreAConflict(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	fast := newRecords(t, kv, nil)
	version, err := fast.Create(t.Context(), consumer(1, 0, "username=alice"))
	wantErr(t, "Create", err, nil)
	done := false
	slow := newRecords(t, intruder{kv, func(op, path string) {
		if op == "write" && strings.HasPrefix(path, "unique/") && !done {
			done = true
			_, err := fast.Replace(t.Context(), consumer(1, version, "username=alice", "custom_id=1"))
			wantErr(t, "the fast Replace", err, nil)
		}
	}}, nil)
	_, err = slow.Replace(t.Context(), consumer(1, version, "custom_id=1"))
	wantErr(t, "the slow Replace", err, authz.ErrConflict)
	wantSound(t, kv)
}

func TestFenceIsNoChangeToWhoReadTheRecordBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		s := newRecords(t, kv, nil)
		version, err := s.Create(t.Context(), consumer(1, 0, "username=alice"))
		wantErr(t, "Create", err, nil)
		_, err = newRecords(t, &mortal{Versioned: kv, left: 1}, nil).Replace(t.Context(), consumer(1, version, "username=bob"))
		wantErr(t, "Replace that crashes after its claim", err, authz.ErrUnavailable)
		time.Sleep(vaultkv.DefaultRecordsConfig().Grace)
		_, err = s.Create(t.Context(), consumer(2, 0, "username=bob"))
		wantErr(t, "Create that fences it", err, nil)
		_, err = s.Replace(t.Context(), consumer(1, version, "username=carol"))
		wantErr(t, "Replace of the version before the fence", err, nil)
		wantSound(t, kv)
	})
}

func TestWriteAfterItsDeadlineDoesNotHappen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := newRecords(t, intruder{kv, func(op, path string) {
			if op == "write" && strings.HasPrefix(path, "unique/") {
				time.Sleep(3 * time.Second)
			}
		}}, nil)
		_, err := s.Create(ctx, consumer(1, 0, "username=alice"))
		wantErr(t, "Create", err, authz.ErrUnavailable)
		_, err = s.Get(t.Context(), authz.KindConsumers, id(1))
		wantErr(t, "Get", err, authz.ErrNotFound)
	})
}

// TestStoreIsSoundAfterEachWriteOfMany lets writers that pause anywhere, some that
// die anywhere, and some whose writes happen after they failed, create, replace and delete the same few records with the
// same few keys. A grace of about one pause makes everyone take over from the
// living.
func TestStoreIsSoundAfterEachWriteOfMany(t *testing.T) {
	t.Parallel()
	var succeeded atomic.Int64
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			kv := memkv.New()
			var wg sync.WaitGroup
			var lock sync.Mutex
			for worker := range uint64(4) {
				rng := rand.New(rand.NewPCG(seed, worker))
				step := func(string, string) { time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) }
				late := func() (time.Duration, bool) {
					return time.Duration(rng.IntN(60)) * time.Millisecond, rng.IntN(12) == 0
				}
				checked := checking{intruder{kv, step}, t, kv, step, &lock, late, &wg}
				wg.Go(func() {
					for range 8 {
						die := &mortal{Versioned: checked, left: 1 << 30, lands: rng.IntN(2) == 0}
						if rng.IntN(4) == 0 {
							die.left = rng.IntN(4)
						}
						s := newRecords(t, die, func(c *vaultkv.RecordsConfig) {
							c.Grace = time.Duration(1+rng.IntN(40)) * time.Millisecond
							c.Patience = time.Duration(rng.IntN(int(c.Grace)))
						})
						if randomWrite(t.Context(), s, rng) == nil {
							succeeded.Add(1)
						}
					}
				})
			}
			wg.Wait()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if n := succeeded.Load(); n < 1000 {
		t.Errorf("%d writes succeeded, too few to say anything", n)
	}
}

// checking looks at the whole store after each write. All that check one store
// share a lock, so that what they see was there at one moment.
type checking struct {
	vaultkv.Versioned
	t     *testing.T
	kv    *memkv.Engine
	pause func(op, path string)
	lock  *sync.Mutex
	// late says that a write fails, and happens all the same so much later.
	late func() (time.Duration, bool)
	wg   *sync.WaitGroup
}

func (c checking) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	// Sleeping under the lock would keep the others from being anywhere else.
	c.pause("write", path)
	if after, late := c.late(); late {
		c.wg.Go(func() {
			time.Sleep(after)
			_, _, _ = c.write(context.WithoutCancel(ctx), path, document, cas)
		})
		return 0, false, errGone
	}
	return c.write(ctx, path, document, cas)
}

func (c checking) write(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	version, ok, err := c.kv.WriteVersion(ctx, path, document, cas)
	if wrong := problems(ctx, c.kv); len(wrong) > 0 {
		c.t.Errorf("after a write of %s: %q", path, wrong)
	}
	return version, ok, err
}

func randomWrite(ctx context.Context, s *vaultkv.Records, rng *rand.Rand) error {
	n := 1 + rng.IntN(3)
	var keys []string
	for _, key := range []string{"a", "b", "c"} {
		if rng.IntN(2) == 0 {
			keys = append(keys, key)
		}
	}
	old, err := s.Get(ctx, authz.KindConsumers, id(n))
	switch {
	case errors.Is(err, authz.ErrNotFound):
		_, err = s.Create(ctx, consumer(n, 0, keys...))
	case err != nil:
	case rng.IntN(3) == 0:
		err = s.Delete(ctx, authz.KindConsumers, id(n))
	default:
		_, err = s.Replace(ctx, consumer(n, old.Version, keys...))
	}
	return err
}
