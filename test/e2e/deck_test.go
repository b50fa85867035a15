package e2e

import (
	"net/http"
	"testing"

	"github.com/vault-authz/vault-authz/test/deck"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
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
		deck.Replay(t, http.DefaultTransport, "http://"+partstest.StartDev(t, suite.service.Binary(t)).Admin, deck.Consumers)
	})
}
