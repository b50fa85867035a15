package app

import (
	"net/http"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
)

// TestAUseCountsForEveryVaultObjectOfTheMount: a deletion through one of them deletes the one record.
func TestAUseCountsForEveryVaultObjectOfTheMount(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.State.Poll = 100 * time.Millisecond
	also := c.Vaults[0]
	also.Name = "also"
	c.Vaults = append(c.Vaults, also)
	r := startReplicaWith(t, newShared(), &c)
	r.newPair(t) // now it decides
	question := envoy.Question{Method: "GET", URL: "http://x/", Headers: []authz.Header{{Name: "access-token", Value: DemoAccessToken}, {Name: "secret-token", Value: DemoSecretToken}}}
	if got := r.ask(question); !got.Allowed {
		t.Fatalf("got %+v", got)
	}
	for _, vault := range []string{demoVault, "also"} {
		code, out := r.call(t, http.MethodGet, "/vault-auth/"+vault+"/credentials/token/"+DemoAccessToken, nil)
		if data, _ := out["data"].(map[string]any); code != http.StatusOK || data["last_used_at"] == nil {
			t.Errorf("through %s: %d %v, want the last use through %s", vault, code, out, demoVault)
		}
	}
}
