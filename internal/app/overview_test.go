package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// asking returns a way to ask the service at an address as Envoy does.
func asking(t *testing.T, at Addresses) func(envoy.Question) envoy.Answer {
	t.Helper()
	conn, err := grpc.NewClient(at.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(q envoy.Question) envoy.Answer {
		t.Helper()
		a, err := envoy.Ask(t.Context(), conn, q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func calling(t *testing.T, at Addresses) *api.Client {
	t.Helper()
	c, err := api.NewClient("http://"+at.Admin, "", &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnOverviewIsAboutTheReplicaThatAnswers(t *testing.T) {
	t.Parallel()
	at := startServing(t, mixed{newShared()})
	ask, client := asking(t, at), calling(t, at)
	overview := func() api.Overview {
		t.Helper()
		o, err := client.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	good := envoy.Question{Method: "GET", URL: "http://x/", Headers: demoHeaders()}
	partstest.Eventually(t, "a decision by the state", func() bool { return ask(good).Allowed })
	before := overview()
	ask(good)
	ask(envoy.Question{Method: "GET", URL: "http://x/why?private=1"})

	o := overview()
	sum := func(o *api.Overview, reason string) (n uint64) {
		for _, in := range o.Decisions.Reasons[reason] {
			n += in
		}
		return n
	}
	for _, reason := range []string{"authenticated", "missing_token"} {
		if n := sum(&o, reason) - sum(&before, reason); n != 1 {
			t.Errorf("%d decisions for the reason %s are counted, want 1", n, reason)
		}
	}
	if len(o.DeniedLatest) == 0 || o.DeniedLatest[0].Reason != "missing_token" || o.DeniedLatest[0].Path != "/why" {
		t.Errorf("the latest denials are %+v", o.DeniedLatest)
	}
	if !o.State.Current || o.State.Lag < 0 || o.State.Lag > 30 || o.State.Problem != "" {
		t.Errorf("the state is %+v, want it current", o.State)
	}
	if o.Config != nil || o.Version == "" || o.Replica == "" || o.StartedAt == 0 || o.StartedAt > o.Now {
		t.Errorf("got %+v", o)
	}
	if want := (api.EntityCounts{Consumers: 1, ACLs: 1, Policies: 1, Vaults: 1}); o.Counts == nil || *o.Counts != want {
		t.Errorf("the counts are %+v, want %+v", o.Counts, want)
	}
	file := api.VaultHealth{ID: entities.DeclaredID(state.KindVaults, demoVault), Name: demoVault, Source: api.SourceFile, Ready: true, Expiring: &api.Expiring{}}
	if diff := cmp.Diff([]api.VaultHealth{file}, o.Vaults); diff != "" {
		t.Errorf("vault objects (-want +got):\n%s", diff)
	}

	const token = "hvs.not-for-anybodys-eyes"
	v, err := client.Vaults.Create(t.Context(), api.Vault{Name: "gone", Protocol: "http", Host: "127.0.0.1", Port: 1, Mount: "kv", VaultToken: token})
	if err != nil {
		t.Fatal(err)
	}
	partstest.Eventually(t, "why the vault object cannot be used", func() bool {
		o = overview()
		return len(o.Vaults) == 2 && strings.Contains(o.Vaults[1].Cause, "refuses the connection")
	})
	if got := o.Vaults[1]; got.ID != v.ID || got.Name != "gone" || got.Source != api.SourceAPI || got.Ready || got.Breaker == nil || strings.Contains(got.Cause, token) {
		t.Errorf("the vault object of the API is %+v", got)
	}
}

func TestAnOverviewSaysWhichConfigurationIsInUse(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	first := r.health()
	if !first.Success || first.Error != "" || len(first.Hash) != 64 || first.LoadedAt == 0 {
		t.Errorf("at the start: %+v", first)
	}
	r.write("nonsense: true\n")
	r.settle()
	if h := r.health(); h.Success || !strings.Contains(h.Error, "nonsense") || h.Hash != first.Hash {
		t.Errorf("with a file that cannot be used: %+v", h)
	}
	if told := r.service.replica(api.StateHealth{}, r.health()); !told.ReloadFailed || told.ConfigHash != first.Hash {
		t.Errorf("other replicas are told %+v", told)
	}
	r.write(edited("groups: [demo]", "groups: [other]"))
	r.settle()
	h := r.health()
	if !h.Success || h.Error != "" || h.Hash == first.Hash {
		t.Errorf("with a file that can: %+v", h)
	}
	if told := r.service.replica(api.StateHealth{}, h); told.ReloadFailed || told.ConfigHash != h.Hash {
		t.Errorf("other replicas are told %+v", told)
	}
}
