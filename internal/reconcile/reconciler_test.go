package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// The vault object of the configuration, and the access token of its one credential.
const (
	demoVault = "memory"
	demoToken = "demo"
)

// demo is a configuration with one vault object, one consumer and one policy.
func demo() config.Config {
	c := config.Default()
	c.Vaults = []config.Vault{config.DefaultVault()}
	c.Vaults[0].Name, c.Vaults[0].Mount = demoVault, demoVault
	c.State.Vault = demoVault
	c.Consumers = []authz.Consumer{{ID: "ce67c25e-2168-4a09-81e5-e06187a2384f", Username: "demo", Groups: []string{"demo"}}}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Default = "default", demoVault, true
	c.Policies = []authz.Policy{policy}
	return c
}

// memory opens every vault object in the same memory.
type memory struct{ engine *memkv.Engine }

func (m memory) Engine(*config.Vault, *zap.Logger) (vaultkv.Engine, error) {
	m.engine.Put(demoToken, []byte(`{"access_token":"demo","secret_token":"secret","consumer":{"id":"ce67c25e-2168-4a09-81e5-e06187a2384f"}}`))
	return m.engine, nil
}

// openSet returns a Set without vault objects.
func openSet(t *testing.T, from vaults.Opener) *vaults.Set {
	t.Helper()
	s, err := vaults.New(vaults.Dependencies{From: from, Digester: authz.NewDigester(), Metrics: prometheus.NewRegistry(), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestManyChangesAtOnceArePublishedTogether(t *testing.T) {
	t.Parallel()
	r := newTestReconciler(t)
	first := r.snapshots()
	var records []state.Record
	for i := range 5000 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012x", i)
		records = append(records, state.Record{
			Kind: state.KindConsumers, ID: id, Unique: []string{fmt.Sprintf("username=user%d", i)},
			Document: fmt.Appendf(nil, `{"id":%q,"username":"user%d"}`, id, i),
		})
	}
	for some := range slices.Chunk(records, 50) {
		if _, err := r.store.Update(t.Context(), func(tx *state.Tx) error {
			for _, rec := range some {
				if err := tx.Put(rec); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.publishNow(t)
	if n := r.snapshots() - first; n != 1 {
		t.Errorf("%d publications, want one", n)
	}
	for _, rec := range records {
		if c, err := r.consumers.Lookup(rec.ID); err != nil || c.ID != rec.ID {
			t.Fatalf("consumer %s is not published: %v", rec.ID, err)
		}
	}
}

// The state has a change a moment before its watcher is told of it.
func TestAChangeDuringAPublicationIsNotLost(t *testing.T) {
	t.Parallel()
	const id, group = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	consumer := func(username string) state.Record {
		return state.Record{Kind: state.KindConsumers, ID: id, Document: fmt.Appendf(nil, `{"id":%q,"username":%q}`, id, username)}
	}
	staff := state.Record{Kind: state.KindACLs, ID: group, Unique: []string{"group=" + id + "/staff"}, Document: fmt.Appendf(nil, `{"id":%q,"consumer":{"id":%q},"group":"staff"}`, group, id)}
	for _, test := range []struct {
		name          string
		before, after func(tx *state.Tx) error
		want          string
	}{
		{"a consumer is renamed", nil, func(tx *state.Tx) error {
			r, err := tx.View().Get(state.KindConsumers, id)
			c := consumer("after")
			c.Version = r.Version
			return errors.Join(err, tx.Put(c))
		}, "after []"},
		{"a consumer is deleted", nil, func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, id) }, " []"},
		{"a group is given", nil, func(tx *state.Tx) error { return tx.Put(staff) }, "before [staff]"},
		{"a group is taken away", func(tx *state.Tx) error { return tx.Put(staff) }, func(tx *state.Tx) error { return tx.Delete(state.KindACLs, group) }, "before []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newTestReconciler(t)
			update := func(do func(*state.Tx) error) {
				t.Helper()
				if _, err := r.store.Update(t.Context(), do); err != nil {
					t.Fatal(err)
				}
			}
			update(func(tx *state.Tx) error { return tx.Put(consumer("before")) })
			if test.before != nil {
				update(test.before)
			}
			r.publishNow(t)
			_, _ = r.consumers.Lookup(id)
			r.early = func() {
				_, _ = r.publish()
				_, _ = r.consumers.Lookup(id)
			}
			update(test.after)
			r.publishNow(t)
			c, err := r.consumers.Lookup(id)
			if got := fmt.Sprint(c.Username, " ", c.Groups); got != test.want || err != nil && !errors.Is(err, authz.ErrNotFound) {
				t.Errorf("the consumer is %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// A testReconciler is a reconciler without vault objects whose publications a test makes.
type testReconciler struct {
	*Reconciler
	store *state.Store
	count int
	// early is called before the reconciler is told of a change.
	early func()
}

func newTestReconciler(t *testing.T) *testReconciler {
	t.Helper()
	return newTestReconcilerFrom(t, memory{memkv.New()})
}

func newTestReconcilerFrom(t *testing.T, from vaults.Opener) *testReconciler {
	t.Helper()
	c := demo()
	digester := authz.NewDigester()
	snapshot, err := authz.NewSnapshot(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := New(&c, openSet(t, from), authz.New(snapshot, digester, c.Grammar), zap.NewNop())
	all := &testReconciler{Reconciler: base, early: func() {}}
	w := base.Watcher()
	changed := w.Changed
	w.Changed = func(changes []state.Change, v *state.View) {
		all.early()
		changed(changes, v)
	}
	if all.store, err = state.New(memkv.New(), state.DefaultConfig(), w, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if err := all.store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.publishNow(t)
	return all
}

func (r *testReconciler) snapshots() int { return r.count }

// publishNow publishes if the reconciler was woken.
func (r *testReconciler) publishNow(t *testing.T) {
	t.Helper()
	for {
		select {
		case <-r.wake:
			_, _ = r.publish()
			r.count++
		default:
			return
		}
	}
}

func TestAStateThatCannotBeAppliedIsAnErrorUntilItCanBe(t *testing.T) {
	t.Parallel()
	r := newTestReconciler(t)
	const consumer, policy = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	reached := func(when string, wantErr bool, do func(*state.Tx) error) {
		t.Helper()
		position, err := r.store.Update(t.Context(), do)
		if err != nil {
			t.Fatal(err)
		}
		r.publishNow(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Await(ctx, position); (err != nil) != wantErr {
			t.Errorf("%s: reached = %v, want an error: %t", when, err, wantErr)
		}
	}
	put := func(kind, id, document string) func(*state.Tx) error {
		return func(tx *state.Tx) error {
			return tx.Put(state.Record{Kind: kind, ID: id, Document: fmt.Appendf(nil, document, id)})
		}
	}
	reached("a consumer", false, put(state.KindConsumers, consumer, `{"id":%q,"username":"alice"}`))
	reached("a policy that cannot be used", true, put(state.KindPolicies, policy, `{"id":%q,"plugin":"unknown"}`))
	reached("a consumer, while the policy cannot be used", true, func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, consumer) })
	reached("the policy is gone", false, func(tx *state.Tx) error { return tx.Delete(state.KindPolicies, policy) })
	if _, err := r.consumers.Lookup(consumer); err == nil {
		t.Error("the consumer that was deleted meanwhile is there")
	}
}

// The change that ends a problem is answered by how it comes out itself.
func TestAChangeIsNotAnsweredByAProblemFromBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newTestReconciler(t)
		update := func(do func(*state.Tx) error) int {
			position, err := r.store.Update(t.Context(), do)
			if err != nil {
				t.Fatal(err)
			}
			return position
		}
		const policy = "00000000-0000-4000-8000-000000000002"
		update(func(tx *state.Tx) error {
			return tx.Put(state.Record{Kind: state.KindPolicies, ID: policy, Document: fmt.Appendf(nil, `{"id":%q,"plugin":"unknown"}`, policy)})
		})
		r.publishNow(t)
		position := update(func(tx *state.Tx) error { return tx.Delete(state.KindPolicies, policy) })
		answer := make(chan error, 1)
		go func() { answer <- r.Await(t.Context(), position) }()
		synctest.Wait()
		r.publishNow(t)
		if err := <-answer; err != nil {
			t.Errorf("got %v, want no error: the change ended the problem", err)
		}
	})
}

// TestAFailedPublicationIsTriedAgainUntilItSucceeds, though the state does not change.
func TestAFailedPublicationIsTriedAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := &panicking{memory: memory{memkv.New()}}
		r := newTestReconcilerFrom(t, from)
		from.attempts.Store(0)
		core, log := observer.New(zapcore.InfoLevel)
		r.log = zap.New(core)
		from.panics.Store(true)
		position, err := r.store.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(aVault()) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, r.store) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if n := from.attempts.Load(); n != 1 {
			t.Errorf("%d attempts at once, want 1", n)
		}
		time.Sleep(firstRetry)
		synctest.Wait()
		if n := from.attempts.Load(); n < 2 {
			t.Errorf("%d attempts within %s, want 2", n, firstRetry)
		}
		time.Sleep(10 * time.Minute)
		if n := from.attempts.Load(); n < 10 || n > 30 {
			t.Errorf("%d attempts in 10 minutes, want 10 to 30", n)
		}
		if n := log.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
			t.Errorf("%d lines about one problem, want 1", n)
		}
		from.panics.Store(false)
		time.Sleep(maxRetry)
		synctest.Wait()
		if err := r.Await(ctx, position); err != nil {
			t.Error(err)
		}
		if n := log.FilterMessage("the new state is used").Len(); n != 1 {
			t.Errorf("%d lines that say that it is over, want 1", n)
		}
		attempts := from.attempts.Load()
		time.Sleep(10 * time.Minute)
		if n := from.attempts.Load(); n != attempts {
			t.Errorf("%d attempts after the success, want none", n-attempts)
		}
	})
}

// aVault is the record of a vault object.
func aVault() state.Record {
	const id = "00000000-0000-4000-8000-000000000001"
	return state.Record{Kind: state.KindVaults, ID: id, Document: fmt.Appendf(nil, `{"id":%q,"name":"new","protocol":"https","host":"vault.test","port":8200,"mount":"new","vault_token":"t"}`, id)}
}

// The store drops all credentials once more a moment after a start.
func TestDroppingAllCredentialsPublishesNothing(t *testing.T) {
	t.Parallel()
	r := newTestReconciler(t)
	first := r.snapshots()
	r.Watcher().DropAll()
	r.publishNow(t)
	if n := r.snapshots() - first; n != 0 {
		t.Errorf("%d publications, want none: no entity has changed", n)
	}
}

// TestAPanicInAPublicationIsAnErrorUntilItIsOver, and its text, which may be anything, is in
// no error.
func TestAPanicInAPublicationIsAnErrorUntilItIsOver(t *testing.T) {
	t.Parallel()
	from := &panicking{memory: memory{memkv.New()}}
	r := newTestReconcilerFrom(t, from)
	from.panics.Store(true)
	if _, err := r.store.Update(t.Context(), func(tx *state.Tx) error { return tx.Put(aVault()) }); err != nil {
		t.Fatal(err)
	}
	v, err := r.store.View()
	if err != nil {
		t.Fatal(err)
	}
	if used, err := r.publish(); used != nil || err == nil {
		t.Errorf("decisions go by a view that could not be applied: %v, %v", used, err)
	}
	if err := r.Await(t.Context(), v.Position()); err == nil || strings.Contains(err.Error(), "secret of") {
		t.Errorf("reached = %v, want an error without the text of the panic", err)
	}
	from.panics.Store(false)
	if used, err := r.publish(); used == nil || err != nil {
		t.Errorf("decisions do not go by a view that can be applied: %v", err)
	}
	if _, known := r.vaults.Find(aVault().ID, v.Position()); !known {
		t.Error("the vault object is not open")
	}
}

// panicking panics where a vault object is opened.
type panicking struct {
	memory
	panics   atomic.Bool
	attempts atomic.Int32
}

func (p *panicking) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	p.attempts.Add(1)
	if p.panics.Load() {
		panic("secret of " + v.Name)
	}
	return p.memory.Engine(v, log)
}
