package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/deck"
)

// over calls an API without a network.
type over struct{ api *API }

func (o over) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestDecKDumpsDiffsSyncsAndResets(t *testing.T) {
	t.Parallel()
	home := func(_ *Config, d *Dependencies) {
		d.Declared.Vaults = []entities.VaultObject{{Name: "home", Protocol: "http", Host: "vault.internal", Port: 8200, Mount: "kong-auth", KV: api.KV1}}
	}
	for _, tt := range []struct {
		name, set string
		options   []option
	}{
		{"consumers", deck.Consumers, []option{home}},
		{"consumers beside what the file declares", deck.Consumers, []option{declaring}},
		{"a plugin", deck.Plugin, []option{home}},
		{"a plugin, with /vaults", deck.Plugin, []option{home, func(c *Config, _ *Dependencies) { c.Vaults = true }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append([]option{func(c *Config, _ *Dependencies) { c.Vaults = false }}, tt.options...)...)
			deck.Replay(t, over{b.api}, "http://localhost:9192", tt.set)
		})
	}
}
