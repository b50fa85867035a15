package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
)

// The announcement of 2019 as people have it in their scripts: what curl sends
// for each of its commands, over a network.
func TestTheFiveStepsOfTheAnnouncementWorkAsWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := httptest.NewServer(b.api)
	t.Cleanup(server.Close)
	curl := func(method, path string, data ...string) answer {
		t.Helper()
		var body io.Reader
		if len(data) > 0 {
			body = strings.NewReader(strings.Join(data, "&"))
		}
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 0 {
			r.Header.Set("Content-Type", typeForm)
		}
		r.Header.Set("Accept", "*/*")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b.answer(resp.StatusCode, resp.Header, raw)
	}

	vault := b.must(201, curl("POST", "/vaults", "name=kong-auth", "mount=kong-auth", "protocol=http", "host=127.0.0.1", "port=8200", "token="+vaultToken))
	if port := vault.body["port"]; port != 8200.0 {
		t.Errorf("port: got %v, want the number 8200", port)
	}
	if strings.Contains(vault.raw, vaultToken) {
		t.Error("the answer shows the Vault token")
	}
	consumer := b.must(201, curl("POST", "/consumers/", "username=alice", "custom_id=a-1"))

	pair := b.must(201, curl("POST", "/vaults/kong-auth/credentials/alice"))
	alphanumeric := regexp.MustCompile(`^[A-Za-z0-9]{32}$`)
	access, secret := pair.text("data.access_token"), pair.text("data.secret_token")
	if !alphanumeric.MatchString(access) || !alphanumeric.MatchString(secret) || access == secret {
		t.Errorf("tokens: got %q and %q, want 32 letters and digits each", access, secret)
	}
	if got, want := pair.text("data.consumer.id"), consumer.text("id"); got != want {
		t.Errorf("consumer: got %q, want %q", got, want)
	}
	if ttl, has := pair.body["data"].(map[string]any)["ttl"]; ttl != nil || !has {
		t.Errorf("ttl: got %v, want null", ttl)
	}

	plugin := b.must(201, curl("POST", "/plugins", "name=vault-auth", "config.vault.id="+vault.text("id")))
	if got := plugin.text("config.vault.id"); got != vault.text("id") {
		t.Errorf("config.vault.id: got %q, want %q", got, vault.text("id"))
	}
	if got := plugin.text("config.access_token_name"); got != "access_token" {
		t.Errorf("config.access_token_name: got %q, want access_token", got)
	}
	state, err := entities.Build(entities.Declared{}, b.store.view())
	if err != nil || len(state.Policies) != 1 || !state.Policies[0].Default || state.Policies[0].Vault != "kong-auth" {
		t.Errorf("policies: got %+v, %v, want one that is the default and uses kong-auth", state.Policies, err)
	}

	gone := curl("DELETE", "/vaults/kong-auth/credentials/token/"+access)
	if b.must(204, gone); gone.raw != "" {
		t.Errorf("204 with a body: %q", gone.raw)
	}
	b.must(404, curl("GET", "/vaults/kong-auth/credentials/token/"+access))
}
