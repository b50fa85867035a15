package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

func newTestClient(t *testing.T, b *bench, token string) *api.Client {
	t.Helper()
	server := httptest.NewServer(b.api)
	t.Cleanup(server.Close)
	c, err := api.NewClient(server.URL, token, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("got the error %v", err)
		}
		return v
	}
}

func TestTheClientDoesWhatTheAPIOffers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(t, authenticating)
	c := newTestClient(t, b, "first")
	name := "a+b /ü"
	vault := must[api.Vault](t)(c.Vaults.Create(ctx, api.Vault{Name: "kong-auth", Protocol: "http", Host: "127.0.0.1", Port: 8200, Mount: "kong-auth", VaultToken: vaultToken}))
	alice := must[api.Consumer](t)(c.Consumers.Create(ctx, api.Consumer{Username: &name, Tags: []string{"gold"}}))
	for _, username := range []string{name, alice.ID} {
		got := must[api.Consumer](t)(c.Consumers.Get(ctx, username))
		if diff := cmp.Diff(alice, got); diff != "" {
			t.Errorf("consumer %q: want (-), got (+):\n%s", username, diff)
		}
	}
	must[api.ACL](t)(c.AddToGroup(ctx, name, api.ACL{Group: "a/b"}))
	if groups := must[[]api.ACL](t)(c.Groups(ctx, name)); len(groups) != 1 || groups[0].Group != "a/b" || groups[0].Consumer.ID != alice.ID {
		t.Errorf("groups: got %+v", groups)
	}
	if err := c.RemoveFromGroup(ctx, name, "a/b"); err != nil {
		t.Error(err)
	}
	if acls := must[[]api.ACL](t)(c.ACLs.List(ctx)); len(acls) != 0 {
		t.Errorf("acls: got %+v, want none", acls)
	}
	policy := must[api.Policy](t)(c.Policies.Create(ctx, api.Policy{Name: "orders", Vault: &api.Ref{ID: vault.ID}, AccessTokenName: api.Names{"one"}, SecretTokenName: api.Names{"two", "three"}}))
	if diff := cmp.Diff([]api.Names{{"one"}, {"two", "three"}}, []api.Names{policy.AccessTokenName, policy.SecretTokenName}); diff != "" {
		t.Errorf("names: want (-), got (+):\n%s", diff)
	}
	plugin := must[api.Plugin](t)(c.Plugins.Get(ctx, policy.ID))
	if plugin.Config.Vault.ID != vault.ID || *plugin.InstanceName != "orders" {
		t.Errorf("plugin: got %+v", plugin)
	}
	policy = must[api.Policy](t)(c.Policies.Patch(ctx, "orders", map[string]any{"realm": "r"}))
	policy = must[api.Policy](t)(c.Policies.Put(ctx, "orders", policy))
	if *policy.Realm != "r" {
		t.Errorf("realm: got %v", policy.Realm)
	}

	ttl := int64(60)
	pair := must[api.Credential](t)(c.CreateCredential(ctx, "kong-auth", name, api.Credential{TTL: &ttl}))
	if len(pair.SecretToken) != 32 || pair.Consumer.ID != alice.ID || *pair.TTL != 60 {
		t.Errorf("credential: got %+v", pair)
	}
	grace := int64(0)
	next := must[api.Credential](t)(c.RotateCredential(ctx, "kong-auth", pair.AccessToken, api.Rotation{Grace: &grace}))
	if next.SecretToken == "" || next.SecretToken == pair.SecretToken {
		t.Error("rotation: got no new secret")
	}
	must[api.Credential](t)(c.PatchCredential(ctx, "kong-auth", pair.AccessToken, map[string]any{"disabled": true}))
	got := must[api.Credential](t)(c.Credential(ctx, "kong-auth", pair.AccessToken))
	if !got.Disabled || got.SecretToken != "" {
		t.Errorf("credential: got %+v, want it disabled and without its secret", got)
	}
	listed := must[[]api.Credential](t)(c.Credentials(ctx, "kong-auth"))
	ofAlice := must[[]api.Credential](t)(c.ConsumerCredentials(ctx, name))
	if diff := cmp.Diff(listed, ofAlice, cmpopts.IgnoreFields(api.Credential{}, "Vault")); diff != "" || len(listed) != 1 {
		t.Errorf("lists differ:\n%s", diff)
	}
	if err := c.DeleteCredential(ctx, "kong-auth", pair.AccessToken); err != nil {
		t.Error(err)
	}
	for _, err := range []error{c.Plugins.Delete(ctx, policy.ID), c.Vaults.Delete(ctx, "kong-auth"), c.Consumers.Delete(ctx, name)} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTheClientListsAllPages(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	c := newTestClient(t, b, "")
	b.api.mux = http.NewServeMux()
	b.api.mux.HandleFunc("/consumers", func(w http.ResponseWriter, r *http.Request) {
		body := `{"data":[{"id":"1"}],"next":"/consumers?offset=x","offset":"x"}`
		if r.URL.Query().Get("offset") == "x" {
			body = `{"data":[{"id":"2"}],"next":null}`
		}
		_, _ = w.Write([]byte(body))
	})
	if got := must[[]api.Consumer](t)(c.Consumers.List(t.Context())); len(got) != 2 || got[1].ID != "2" {
		t.Errorf("got %+v, want both pages", got)
	}
}

func TestErrorsOfTheClient(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	c := newTestClient(t, b, "")
	_, err := c.Consumers.Create(t.Context(), api.Consumer{})
	var p *api.Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Code != schema.CodeViolation || p.Fields["@entity"] == nil {
		t.Errorf("got %v, want the schema violation", err)
	}
	if err := c.DeleteCredential(t.Context(), "kong-auth", "none"); !errors.As(err, &p) || p.Status != 404 {
		t.Errorf("got %v, want 404", err)
	}
	gone, err := api.NewClient("http://127.0.0.1:1", "t0ken", http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gone.Credential(t.Context(), "kong-auth", "acce55token")
	if err == nil || strings.Contains(err.Error(), "acce55token") || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("got %v, want an error without tokens", err)
	}
	for _, bad := range []string{"", "127.0.0.1:9192", "ftp://x", "http://user:pw@x"} {
		if _, err := api.NewClient(bad, "", http.DefaultClient); err == nil {
			t.Errorf("NewClient(%q): got no error", bad)
		}
	}
}
