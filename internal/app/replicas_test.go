package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
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

func TestAChangeThroughOneReplicaHoldsOnAnother(t *testing.T) {
	t.Parallel()
	from := newShared()
	one, two := startReplica(t, from), startReplica(t, from)
	partstest.Eventually(t, "both replicas have read the state", func() bool {
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
	partstest.Eventually(t, "the pair works on the other replica", func() bool { return two.allows(pair) })
	if code, out := two.call(t, http.MethodDelete, "/vault-auth/"+demoVault+"/credentials/token/"+pair["access_token"].(string), nil); code != http.StatusNoContent {
		t.Fatalf("deleting the pair: %d %v", code, out)
	}
	if two.allows(pair) {
		t.Error("the pair still works where it was deleted")
	}
	partstest.Eventually(t, "the pair is gone on the other replica", func() bool { return !one.allows(pair) })
}

func TestAConsumerThatIsDeletedIsDeniedAtOnce(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	partstest.Eventually(t, "the state is read", func() bool {
		code, _ := r.call(t, http.MethodPost, "/consumers", url.Values{"username": {"bob"}})
		return code == http.StatusCreated || code == http.StatusConflict
	})
	var pair map[string]any
	partstest.Eventually(t, "a pair is made", func() bool {
		code, out := r.call(t, http.MethodPost, "/vault-auth/"+demoVault+"/credentials/bob", url.Values{})
		if code == http.StatusCreated {
			pair = out["data"].(map[string]any)
		}
		return code == http.StatusCreated
	})
	partstest.Eventually(t, "the pair works", func() bool { return r.allows(pair) })
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
	partstest.Eventually(t, "requests are decided", func() bool {
		return r.allows(map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken})
	})
}

// Word of credentials wakes nobody, and must not be waited for.
func TestAChangeOfAnEntityDoesNotWaitForThoseOfCredentials(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	partstest.Eventually(t, "the state is read", func() bool { return r.reconciler.Ready() == nil })
	if err := r.store.LeaseCredential(t.Context(), "token", func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (records{r.store, r.reconciler, r.vaults}).reached(ctx); err != nil {
		t.Errorf("nothing has changed that decisions are based on, and reached = %v", err)
	}
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
	partstest.Eventually(t, "the pair works by the other vault object on both replicas", func() bool { return allows(one) && allows(two) })
	if code, out := one.call(t, http.MethodDelete, "/vault-auth/"+demoVault+"/credentials/token/"+pair["access_token"].(string), nil); code != http.StatusNoContent {
		t.Fatalf("deleting the pair: %d %v", code, out)
	}
	if allows(one) {
		t.Error("the pair still works by another vault object of the same mount")
	}
	partstest.Eventually(t, "the pair is gone on the other replica", func() bool { return !allows(two) })
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
	partstest.Eventually(t, "the other replica has read the state", func() bool {
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
	partstest.Eventually(t, "the state is read", func() bool {
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
