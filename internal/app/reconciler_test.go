package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// shared are backends in memory that several replicas work on, like a Vault.
type shared struct {
	memoryEngines
	kv *memkv.Engine
}

func newShared() *shared {
	return &shared{memoryEngines: memoryEngines{mounts: map[string]*memkv.Engine{}}, kv: memkv.New()}
}

func (s *shared) state(vaultkv.Engine, string, *zap.Logger) (state.Engine, func(context.Context) error, error) {
	return s.kv, nil, nil
}

// A replica is one service on shared backends.
type replica struct {
	*service
	ask func(envoy.Question) envoy.Answer
}

func startReplica(t *testing.T, from *shared) *replica {
	t.Helper()
	c := DevConfig()
	c.State.Poll = 100 * time.Millisecond
	return startReplicaWith(t, from, &c)
}

func startReplicaWith(t *testing.T, from *shared, c *config.Config) *replica {
	t.Helper()
	return startReplicaLogging(t, from, c, zap.NewNop())
}

func startReplicaLogging(t *testing.T, from *shared, c *config.Config, log *zap.Logger) *replica {
	t.Helper()
	s, err := build(c, from, nil, testLogs(t, c, log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}, len(s.runs))
	for _, run := range s.runs {
		go func() {
			_ = run(ctx)
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		stop()
		for range s.runs {
			<-ended
		}
	})
	return &replica{service: s, ask: client(t, c, s.decider)}
}

// call makes a call of the admin API with a form, and returns the answer.
func (r *replica) call(t *testing.T, method, path string, form url.Values) (int, map[string]any) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:9192"+path, strings.NewReader(form.Encode()))
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	rec := httptest.NewRecorder()
	r.admin.ServeHTTP(rec, req)
	var out map[string]any
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, rec.Body)
		}
	}
	return rec.Code, out
}

func (r *replica) allows(pair map[string]any) bool {
	return r.ask(envoy.Question{Method: "GET", URL: "http://x/", Headers: []authz.Header{
		{Name: "access-token", Value: pair["access_token"].(string)}, {Name: "secret-token", Value: pair["secret_token"].(string)},
	}}).Allowed
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 30s", what)
}

func TestAChangeThroughOneReplicaHoldsOnAnother(t *testing.T) {
	t.Parallel()
	from := newShared()
	one, two := startReplica(t, from), startReplica(t, from)
	eventually(t, "both replicas have read the state", func() bool {
		demo := map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken}
		return one.allows(demo) && two.allows(demo)
	})
	if code, out := one.call(t, http.MethodPost, "/consumers", url.Values{"username": {"alice"}}); code != http.StatusCreated {
		t.Fatalf("creating a consumer: %d %v", code, out)
	}
	code, out := one.call(t, http.MethodPost, "/vault-auth/"+demoVault+"/credentials/alice", url.Values{})
	if code != http.StatusCreated {
		t.Fatalf("creating a pair: %d %v", code, out)
	}
	pair := out["data"].(map[string]any)
	if !one.allows(pair) {
		t.Error("the pair does not work at once where it was made")
	}
	eventually(t, "the pair works on the other replica", func() bool { return two.allows(pair) })
	if code, out := two.call(t, http.MethodDelete, "/vault-auth/"+demoVault+"/credentials/token/"+pair["access_token"].(string), nil); code != http.StatusNoContent {
		t.Fatalf("deleting the pair: %d %v", code, out)
	}
	if two.allows(pair) {
		t.Error("the pair still works where it was deleted")
	}
	eventually(t, "the pair is gone on the other replica", func() bool { return !one.allows(pair) })
}

func TestAConsumerThatIsDeletedIsDeniedAtOnce(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	eventually(t, "the state is read", func() bool {
		code, _ := r.call(t, http.MethodPost, "/consumers", url.Values{"username": {"bob"}})
		return code == http.StatusCreated || code == http.StatusConflict
	})
	var pair map[string]any
	eventually(t, "a pair is made", func() bool {
		code, out := r.call(t, http.MethodPost, "/vault-auth/"+demoVault+"/credentials/bob", url.Values{})
		if code == http.StatusCreated {
			pair = out["data"].(map[string]any)
		}
		return code == http.StatusCreated
	})
	eventually(t, "the pair works", func() bool { return r.allows(pair) })
	if code, _ := r.call(t, http.MethodDelete, "/consumers/bob", nil); code != http.StatusNoContent {
		t.Fatalf("deleting the consumer: %d", code)
	}
	if r.allows(pair) {
		t.Error("the pair of a deleted consumer works")
	}
}

func TestNothingIsDecidedBeforeTheStateIsRead(t *testing.T) {
	t.Parallel()
	from := newShared()
	from.kv.Fail(authz.ErrUnavailable)
	r := startReplica(t, from)
	a := r.ask(envoy.Question{Method: "GET", URL: "http://x/", Headers: []authz.Header{
		{Name: "access-token", Value: DemoAccessToken}, {Name: "secret-token", Value: DemoSecretToken},
	}})
	if a.Allowed || a.Status != http.StatusServiceUnavailable {
		t.Errorf("while the state cannot be read: %+v", a)
	}
	from.kv.Fail(nil)
	eventually(t, "requests are decided", func() bool {
		return r.allows(map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken})
	})
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

// Word of credentials wakes nobody, and must not be waited for.
func TestAChangeOfAnEntityDoesNotWaitForThoseOfCredentials(t *testing.T) {
	t.Parallel()
	r := newTestReconciler(t)
	if err := r.store.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (records{r.store, r.reconciler}).reached(ctx); err != nil {
		t.Errorf("nothing has changed that decisions are based on, and reached = %v", err)
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
	*reconciler
	store *state.Store
	count int
	// early is called before the reconciler is told of a change.
	early func()
}

func newTestReconciler(t *testing.T) *testReconciler {
	t.Helper()
	return newTestReconcilerFrom(t, newShared())
}

func newTestReconcilerFrom(t *testing.T, from vaults.Opener) *testReconciler {
	t.Helper()
	c := DevConfig()
	digester := authz.NewDigester()
	snapshot, err := authz.NewSnapshot(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := newReconciler(&c, openSet(t, from), authz.New(snapshot, digester, c.Grammar), zap.NewNop())
	all := &testReconciler{reconciler: base, early: func() {}}
	w := base.watcher()
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
		if err := r.await(ctx, position); (err != nil) != wantErr {
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
		go func() { answer <- r.await(t.Context(), position) }()
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
		from := &panicking{memoryEngines: &newShared().memoryEngines}
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
		go func() { ended <- r.run(ctx, r.store) }()
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
		if err := r.await(ctx, position); err != nil {
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
	r.watcher().DropAll()
	r.publishNow(t)
	if n := r.snapshots() - first; n != 0 {
		t.Errorf("%d publications, want none: no entity has changed", n)
	}
}

// TestAPanicInAPublicationIsAnErrorUntilItIsOver, and its text, which may be anything, is in
// no error.
func TestAPanicInAPublicationIsAnErrorUntilItIsOver(t *testing.T) {
	t.Parallel()
	from := &panicking{memoryEngines: &newShared().memoryEngines}
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
	if err := r.await(t.Context(), v.Position()); err == nil || strings.Contains(err.Error(), "secret of") {
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
	*memoryEngines
	panics   atomic.Bool
	attempts atomic.Int32
}

func (p *panicking) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	p.attempts.Add(1)
	if p.panics.Load() {
		panic("secret of " + v.Name)
	}
	return p.memoryEngines.Engine(v, log)
}

// TestARevocationHoldsForEveryVaultObjectOfTheMount: nobody asked for two of them
// to be of different mounts.
func TestARevocationHoldsForEveryVaultObjectOfTheMount(t *testing.T) {
	t.Parallel()
	from := newShared()
	one, two := startReplica(t, from), startReplica(t, from)
	pair := one.newPair(t)
	vault := url.Values{"name": {"again"}, "protocol": {"https"}, "host": {"vault.test"}, "port": {"8200"}, "mount": {demoVault}, "vault_token": {"t"}}
	if code, out := one.call(t, http.MethodPost, "/vault-auth", vault); code != http.StatusCreated {
		t.Fatalf("creating a vault object: %d %v", code, out)
	}
	if code, out := one.call(t, http.MethodPost, "/policies", url.Values{"name": {"again"}, "vault.name": {"again"}, "hosts": {"again.test"}}); code != http.StatusCreated {
		t.Fatalf("creating a policy: %d %v", code, out)
	}
	allows := func(r *replica) bool {
		return r.ask(envoy.Question{Method: "GET", URL: "http://again.test/", Headers: []authz.Header{
			{Name: "access_token", Value: pair["access_token"].(string)}, {Name: "secret_token", Value: pair["secret_token"].(string)},
		}}).Allowed
	}
	eventually(t, "the pair works by the other vault object on both replicas", func() bool { return allows(one) && allows(two) })
	if code, out := one.call(t, http.MethodDelete, "/vault-auth/"+demoVault+"/credentials/token/"+pair["access_token"].(string), nil); code != http.StatusNoContent {
		t.Fatalf("deleting the pair: %d %v", code, out)
	}
	if allows(one) {
		t.Error("the pair still works by another vault object of the same mount")
	}
	eventually(t, "the pair is gone on the other replica", func() bool { return !allows(two) })
}

// TestACredentialIsWrittenWhereItsVaultObjectIsNow, also by a replica that has
// not read yet that another one has made or moved the vault object.
func TestACredentialIsWrittenWhereItsVaultObjectIsNow(t *testing.T) {
	t.Parallel()
	from := newShared()
	seldom := DevConfig()
	seldom.State.Poll = time.Minute
	one, two := startReplica(t, from), startReplicaWith(t, from, &seldom)
	one.newPair(t)
	eventually(t, "the other replica has read the state", func() bool {
		return two.allows(map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken})
	})
	vault := url.Values{"name": {"moving"}, "protocol": {"https"}, "host": {"vault.test"}, "port": {"8200"}, "mount": {"before"}, "vault_token": {"t"}}
	if code, out := one.call(t, http.MethodPost, "/vault-auth", vault); code != http.StatusCreated {
		t.Fatalf("creating a vault object: %d %v", code, out)
	}
	for _, mount := range []string{"before", "after"} {
		if code, out := one.call(t, http.MethodPatch, "/vault-auth/moving", url.Values{"mount": {mount}, "vault_token": {"t"}}); code != http.StatusOK {
			t.Fatalf("moving the vault object: %d %v", code, out)
		}
		access := "pair-" + mount
		if code, out := two.call(t, http.MethodPost, "/vault-auth/moving/credentials/alice", url.Values{"access_token": {access}}); code != http.StatusCreated {
			t.Fatalf("creating a pair: %d %v", code, out)
		}
		from.mu.Lock()
		engine := from.mounts[mount]
		from.mu.Unlock()
		if _, found, err := engine.Read(t.Context(), access); err != nil || !found {
			t.Errorf("the pair is at %q: %t, %v, want true", mount, found, err)
		}
	}
}

// newPair makes the consumer alice and a pair of it.
func (r *replica) newPair(t *testing.T) map[string]any {
	t.Helper()
	eventually(t, "the state is read", func() bool {
		return r.allows(map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken})
	})
	if code, out := r.call(t, http.MethodPost, "/consumers", url.Values{"username": {"alice"}}); code != http.StatusCreated {
		t.Fatalf("creating a consumer: %d %v", code, out)
	}
	code, out := r.call(t, http.MethodPost, "/vault-auth/"+demoVault+"/credentials/alice", url.Values{})
	if code != http.StatusCreated {
		t.Fatalf("creating a pair: %d %v", code, out)
	}
	pair, _ := out["data"].(map[string]any)
	return pair
}
