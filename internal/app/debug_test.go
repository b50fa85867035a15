package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestDebuggingIsOffByDefaultAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.Vaults[0].Token = "a-vault-token"
	logs := testLogs(t, &c, zap.NewNop())
	if h, err := debugHandler(&c, logs); h != nil || err != nil {
		t.Fatalf("by default: %v, %v", h, err)
	}
	c.Debug.Enabled = true
	h, err := debugHandler(&c, logs)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/debug/config", nil)
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	if w.Body.String() != string(shown) || strings.Contains(w.Body.String(), "a-vault-token") {
		t.Errorf("got %s, want the same as config show:\n%s", w.Body, shown)
	}
}
