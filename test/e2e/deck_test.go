package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
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

// startDev runs `vault-authz dev` and returns where its admin API is.
func startDev(t *testing.T) string {
	t.Helper()
	binary, err := suite.service()
	must(t, err)
	dir := t.TempDir()
	addresses := filepath.Join(dir, "addresses.json")
	p, err := parts.Start(parts.Command{
		Name: "vault-authz dev", Path: binary, Dir: dir, Env: os.Environ(),
		Args: []string{"dev", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--addresses-file", addresses},
	})
	must(t, err)
	t.Cleanup(p.Kill)
	var at struct{ Admin string }
	ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
	defer cancel()
	must(t, parts.Await(ctx, p, func(context.Context) error {
		raw, err := os.ReadFile(addresses)
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &at)
	}))
	return at.Admin
}
