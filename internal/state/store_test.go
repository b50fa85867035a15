package state_test

import (
	"context"
	"errors"
	"fmt"
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

// A node is a replica that records the calls of its Watcher.
type node struct {
	*state.Store

	mu      sync.Mutex
	dropped map[string]int
	all     int
	changed int
}

func open(t *testing.T, kv state.Engine) *node {
	t.Helper()
	n := &node{dropped: map[string]int{}}
	s, err := state.New(kv, state.DefaultConfig(), n.watcher(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	n.Store = s
	return n
}

func (n *node) watcher() state.Watcher {
	locked := func(do func()) {
		n.mu.Lock()
		defer n.mu.Unlock()
		do()
	}
	return state.Watcher{
		Drop:    func(key string) { locked(func() { n.dropped[key]++ }) },
		DropAll: func() { locked(func() { n.all++ }) },
		Changed: func(c []state.Change, _ *state.View) { locked(func() { n.changed += len(c) }) },
	}
}

func (n *node) drops(key string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dropped[key]
}

func id(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func consumer(i int) state.Record {
	name := fmt.Sprintf("user-%d", i)
	return state.Record{
		Kind: state.KindConsumers, ID: id(i), Unique: []string{"username=" + name},
		Document: fmt.Appendf(nil, `{"id":%q,"username":%q}`, id(i), name),
	}
}

func create(t *testing.T, n *node, records ...state.Record) int {
	t.Helper()
	position, err := n.Update(t.Context(), func(tx *state.Tx) error {
		for _, r := range records {
			if err := tx.Put(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return position
}

func view(t *testing.T, n *node) *state.View {
	t.Helper()
	if err := n.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := n.View()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestConfigIsValidWithinItsBounds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*state.Config)
		want   string
	}{
		{"the defaults", func(*state.Config) {}, ""},
		{"the least of all", func(c *state.Config) {
			*c = state.Config{Interval: 10 * time.Millisecond, Margin: 1, WriteWithin: 1, LeaseGrace: 2}
		}, ""},
		{"the most of all", func(c *state.Config) {
			*c = state.Config{Interval: time.Minute, Margin: time.Minute, MaxStale: time.Hour, WriteWithin: time.Minute, LeaseGrace: 2 * time.Minute}
		}, ""},
		{"a short interval", func(c *state.Config) { c.Interval = 10*time.Millisecond - 1 }, "interval:"},
		{"a long interval", func(c *state.Config) { c.Interval = time.Minute + 1 }, "interval:"},
		{"no margin", func(c *state.Config) { c.Margin = 0 }, "margin:"},
		{"a long margin", func(c *state.Config) { c.Margin = time.Minute + 1 }, "margin:"},
		{"a negative staleness", func(c *state.Config) { c.MaxStale = -1 }, "max_stale:"},
		{"no time to write", func(c *state.Config) { c.WriteWithin = 0 }, "write_within:"},
		{"much time to write", func(c *state.Config) { c.WriteWithin, c.LeaseGrace = time.Minute+1, time.Hour }, "write_within:"},
		{"a short grace", func(c *state.Config) { c.LeaseGrace = 2*c.WriteWithin - 1 }, "lease_grace:"},
	} {
		c := state.DefaultConfig()
		test.change(&c)
		err := c.Validate()
		if (err == nil) != (test.want == "") || err != nil && (!strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want one mistake that begins with %q, or none", test.name, err, test.want)
		}
	}
}

func TestChangeOfOneReplicaIsSeenByAnother(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	a, b := open(t, kv), open(t, kv)
	if _, err := b.View(); !errors.Is(err, authz.ErrUnavailable) {
		t.Errorf("the view before the first reading: %v, want that it is unavailable", err)
	}
	position := create(t, a, consumer(1), consumer(2))
	view(t, b)
	if a.changed != 2 {
		t.Errorf("a was told of %d changes of its own, want 2", a.changed)
	}
	v := view(t, b)
	if v.Position() != position || v.Len(state.KindConsumers) != 2 {
		t.Fatalf("b is at %d with %d consumers, want %d with 2", v.Position(), v.Len(state.KindConsumers), position)
	}
	r, err := v.ByUnique(state.KindConsumers, "username=user-2")
	if err != nil || r.ID != id(2) || r.Version != position {
		t.Errorf("user-2 is %+v, %v", r, err)
	}
	if _, err := b.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, id(1)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := view(t, a).Get(state.KindConsumers, id(1)); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("the deleted consumer on a: %v, want not found", err)
	}
	if len(slices.Collect(ids(v))) != 2 {
		t.Error("a view has changed after it was handed out")
	}
}

func ids(v *state.View) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		v.After(state.KindConsumers, "", func(r *state.Record) bool { return yield(r.ID) })
	}
}

func TestPutRefusesAWrongVersionOrATakenName(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	n := open(t, kv)
	first := create(t, n, consumer(1), consumer(2))
	renamed := func(i int, name string, version int) state.Record {
		r := consumer(i)
		r.Unique, r.Version = []string{"username=" + name}, version
		return r
	}
	tests := []struct {
		name   string
		record state.Record
		want   error
	}{
		{"create where the id is taken", consumer(1), state.ErrConflict},
		{"create where the name is taken", renamed(3, "user-1", 0), state.TakenError{Key: "username=user-1"}},
		{"replace another version", renamed(1, "user-1", first+1), state.ErrConflict},
		{"replace what is not there", renamed(3, "user-3", first), authz.ErrNotFound},
		{"take the name of another one", renamed(1, "user-2", first), state.TakenError{Key: "username=user-2"}},
		{"take a free name", renamed(1, "user-9", first), nil},
		{"take the name that was given up", renamed(3, "user-1", 0), nil},
	}
	for _, tt := range tests {
		_, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(tt.record) })
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestUpdateThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	n := open(t, memkv.New())
	before := create(t, n, consumer(1))
	boom := errors.New("boom")
	for _, do := range []func(*state.Tx) error{
		func(tx *state.Tx) error { return errors.Join(tx.Put(consumer(2)), boom) },
		func(tx *state.Tx) error { _ = tx.Put(consumer(2)); panic("secret") },
		func(*state.Tx) error { return nil },
	} {
		_, err := n.Update(t.Context(), do)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has the text of the panic: %v", err)
		}
	}
	if v := view(t, n); v.Position() != before || v.Len(state.KindConsumers) != 1 {
		t.Errorf("position %d with %d consumers, want %d with 1", v.Position(), v.Len(state.KindConsumers), before)
	}
}

// Far more changes are made than the ring has room for, small ones and batches. Replicas
// that follow, fall behind, and start late read them.
func TestLogOutlivesItsRing(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	a, follower, sleeper := open(t, kv), open(t, kv), open(t, kv)
	create(t, a, consumer(0))
	view(t, sleeper)
	n := 1
	for range 80 {
		for range 20 {
			create(t, a, consumer(n))
			n++
		}
		var many []state.Record
		for len(many) < 100 {
			r := consumer(n)
			r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 50))
			many = append(many, r)
			n++
		}
		create(t, a, many...)
		view(t, follower)
	}
	for name, replica := range map[string]*node{"follower": follower, "sleeper": sleeper, "newcomer": open(t, kv)} {
		v := view(t, replica)
		if got := v.Len(state.KindConsumers); got != n {
			t.Errorf("%s has %d consumers, want %d", name, got, n)
		}
		if r, err := v.ByUnique(state.KindConsumers, "username=user-7"); err != nil || r.Version != 8 {
			t.Errorf("%s: user-7 is %+v, %v; want the version at which it was made", name, r, err)
		}
	}
	if sleeper.all < 2 {
		t.Error("the sleeper did not drop everything when it had fallen behind")
	}
}

func TestConcurrentUpdatesAreCommittedTogetherAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &counting{Engine: memkv.New()}
		a, b := open(t, kv), open(t, kv)
		create(t, a, consumer(0))
		view(t, b)
		kv.writes = 0
		var wg sync.WaitGroup
		won := make([]error, 400)
		for i := range won {
			n := a
			if i%2 == 1 {
				n = b
			}
			// Each name is wanted by one call on each replica.
			r := consumer(i)
			r.Unique = []string{fmt.Sprintf("username=user-%d", 1+i/2)}
			r.ID = id(1000 + i)
			wg.Go(func() {
				_, won[i] = n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(r) })
			})
		}
		wg.Wait()
		for i := 0; i < len(won); i += 2 {
			if (won[i] == nil) == (won[i+1] == nil) {
				t.Fatalf("two calls for one name: %v and %v, want one winner", won[i], won[i+1])
			}
		}
		if kv.writes > 40 {
			t.Errorf("%d writes for 400 calls at a time, want few", kv.writes)
		}
	})
}

// counting counts writes, each of which takes a while.
type counting struct {
	state.Engine
	mu     sync.Mutex
	writes int
}

func (c *counting) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	time.Sleep(5 * time.Millisecond)
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Engine.WriteVersion(ctx, path, document, cas)
}

// A misleading engine makes a write and says that it was refused, as a node does that lost
// its connection while it passed the write on.
type misleading struct {
	state.Engine
	left int
}

func (m *misleading) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	version, ok, err := m.Engine.WriteVersion(ctx, path, document, cas)
	if ok && strings.HasPrefix(path, "log/") && m.left > 0 {
		m.left--
		return 0, false, nil
	}
	return version, ok, err
}

func TestChangeThatWasMadeAlthoughItWasRefusedIsMadeOnce(t *testing.T) {
	t.Parallel()
	kv := &misleading{Engine: memkv.New(), left: 1} // also the first of all
	n := open(t, kv)
	create(t, n, consumer(1))
	kv.left = 1
	position := create(t, n, consumer(2))
	if v := view(t, n); v.Position() != position || v.Len(state.KindConsumers) != 2 {
		t.Errorf("position %d with %d consumers, want %d with 2", v.Position(), v.Len(state.KindConsumers), position)
	}
}

func TestStateOfANewerVersionIsRefusedAndNotOverwritten(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"checkpoint", "log/00"} {
		kv := memkv.New()
		create(t, open(t, kv), consumer(1))
		document, version, _, err := kv.ReadVersion(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(document), `"format":2`, `"format":3`, 1)
		kv.Put(path, []byte(newer))
		n := open(t, kv)
		if err := n.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%s: Refresh = %v, want a refusal that says why", path, err)
		}
		if _, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(consumer(2)) }); err == nil {
			t.Errorf("%s: a change was made over it", path)
		}
		if now, at, _, _ := kv.ReadVersion(t.Context(), path); string(now) != newer || at != version+1 {
			t.Errorf("%s: it was written over", path)
		}
	}
}
