package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
)

func TestDebuggingIsOffByDefaultAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.Vaults[0].Token = "a-vault-token"
	logs := testLogs(t, &c, zap.NewNop())
	var current atomic.Pointer[config.Config]
	current.Store(&c)
	if h := debugHandler(&c, current.Load, logs); h != nil {
		t.Fatalf("by default: %v", h)
	}
	c.Debug.Enabled = true
	h := debugHandler(&c, current.Load, logs)
	reloaded := c
	reloaded.Vaults = slices.Clone(c.Vaults)
	reloaded.Vaults[0].Mount = "reloaded"
	for _, used := range []*config.Config{&c, &reloaded} {
		current.Store(used)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/debug/config", nil)
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		shown, err := used.Show()
		if err != nil {
			t.Fatal(err)
		}
		if w.Body.String() != string(shown) || strings.Contains(w.Body.String(), "a-vault-token") {
			t.Errorf("got %s, want the same as config show:\n%s", w.Body, shown)
		}
	}
}
