package admin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
)

func (b *bench) overview() (o api.Overview) {
	b.Helper()
	a := b.must(200, b.get("/overview"))
	if err := json.Unmarshal([]byte(a.raw), &o); err != nil {
		b.Fatal(err)
	}
	return o
}

func TestAnOverviewSaysWhatTheReplicaKnows(t *testing.T) {
	t.Parallel()
	known := api.Overview{StartedAt: 1_550_538_000, Vaults: []api.VaultHealth{{ID: "x", Name: "main", Source: api.SourceFile, Cause: "it is sealed", Breaker: new(api.BreakerOpen)}}}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault = "declared", "main"
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Replica, d.Version = "one", "1.2.3"
		d.Overview = func() api.Overview { return known }
		d.Declared = entities.Declared{
			Vaults: []entities.VaultObject{{Name: "main"}}, Policies: []authz.Policy{policy},
			Consumers: []authz.Consumer{{ID: "ce67c25e-2168-4a09-81e5-e06187a2384f", Username: "declared", Groups: []string{"a", "b"}}},
		}
	})
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=gold"))
	b.must(201, b.json("POST", "/policies", `{"name":"orders","hosts":["example.com"],"vault":"main"}`))
	b.must(201, b.json("POST", "/plugins", `{"name":"acl","config":{"allow":["gold"]}}`))

	before := time.Now().Unix()
	got := b.overview()
	if got.Now < before || got.Now > time.Now().Unix() {
		t.Errorf("now is %d", got.Now)
	}
	want := known
	want.Replica, want.Version, want.Now = "one", "1.2.3", got.Now
	want.Caller = api.Caller{Name: "anybody", Role: "write"}
	want.Counts = &api.EntityCounts{Consumers: 2, ACLs: 3, Policies: 2, Vaults: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, list := range []string{"consumers", "acls", "policies", "vault-auth"} {
		data, _ := b.must(200, b.get("/"+list)).body["data"].([]any)
		counted := map[string]int{"consumers": got.Counts.Consumers, "acls": got.Counts.ACLs, "policies": got.Counts.Policies, "vault-auth": got.Counts.Vaults}[list]
		if counted != len(data) {
			t.Errorf("%d of /%s are counted, and %d are listed", counted, list, len(data))
		}
	}
}

func TestAnOverviewNeedsNoStore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.err = authz.ErrUnavailable
	if got := b.overview(); got.Counts != nil {
		t.Errorf("it counts %+v without having read the state", got.Counts)
	}
}

func TestAnOverviewSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) {
		c.Tokens = []authn.Token{{Name: "page", SHA256: hashOf("read-token"), Role: authn.RoleRead}}
	})
	b.must(401, b.get("/overview"))
	b.headers["Authorization"] = "Bearer read-token"
	if got := b.overview().Caller; got != (api.Caller{Name: "page", Role: "read"}) {
		t.Errorf("the caller is %+v", got)
	}
}
