package e2e

import (
	"net/http"
	"testing"

	"github.com/vault-authz/vault-authz/test/deck"
	"github.com/vault-authz/vault-authz/test/parts"
)

// TestDecKDumpsDiffsSyncsAndResets replays the calls of decK against a replica with a real
// Vault and against `vault-authz dev`.
func TestDecKDumpsDiffsSyncsAndResets(t *testing.T) {
	t.Parallel()
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		s := newDeployment(t, 1)
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
