package e2e

import (
	"net/http"
	"testing"

	"github.com/vault-authz/vault-authz/test/deck"
	"github.com/vault-authz/vault-authz/test/parts"
)

// decK's exchanges with a service that keeps what it makes in a real Vault, and with the
// one in memory that people try it on.
func TestDecKDumpsDiffsSyncsAndResets(t *testing.T) {
	t.Parallel()
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, 1)
		base := "http://" + s.replicas[0].Admin
		deck.Replay(t, http.DefaultTransport, base, deck.Consumers)
		deck.Replay(t, http.DefaultTransport, base, deck.Plugin)
	})
	t.Run("dev", func(t *testing.T) {
		t.Parallel()
		deck.Replay(t, http.DefaultTransport, "http://"+startDev(t), deck.Consumers)
	})
}

// startDev runs `vault-authz dev` and returns the address of its admin API.
func startDev(t *testing.T) string {
	t.Helper()
	s, err := parts.StartDev(t.Context(), suite.service.Binary(t), t.TempDir())
	must(t, err)
	t.Cleanup(s.Kill)
	return s.Admin
}
