package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts"
)

// TestADenialIsExplainedByTheReplicaThatDenied asks both of two replicas about the request_id
// that Envoy gave to a denied client, also while Vault is down.
func TestADenialIsExplainedByTheReplicaThatDenied(t *testing.T) {
	t.Parallel()
	s := newDeployment(t, 2)
	s.createEntities(t, mountV1, parts.KVv1)
	s.withEnvoy(t)
	p := s.newPair(t, s.replicas[0])
	s.replicas[0].awaitAllowed(t, p)

	denied := func(access string) (id string) {
		t.Helper()
		status, body, err := curl(t.Context(), "http://"+s.envoy.Address(onClosed)+"/orders?page=7", "-H", "access-token: "+access, "-H", "secret-token: another-secret")
		if err != nil || status < 400 {
			t.Fatalf("status %d, %v: %s", status, err, body)
		}
		var told struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(body, &told); err != nil || told.RequestID == "" {
			t.Fatalf("%v: no request_id in %s", err, body)
		}
		return told.RequestID
	}
	explained := func(id string) (d api.Denials) {
		t.Helper()
		got := s.replicas[0].admin(t, http.StatusOK, "GET", "/denials/"+id)
		if err := json.Unmarshal([]byte(got.raw), &d); err != nil || len(d.Data) != 1 {
			t.Fatalf("%v: got %s, want one denial", err, got.raw)
		}
		for _, never := range []string{p.access, p.secret, "page=7", "another-secret", "nobody-has-this"} {
			if strings.Contains(got.raw, never) {
				t.Errorf("the answer has %q in it", never)
			}
		}
		return d
	}

	id := denied(p.access)
	if d := explained(id).Data[0]; d.Reason != "wrong_secret" || d.Status != 401 || d.Path != "/orders" || d.RequestID != id ||
		len(d.AccessTokenIn) != 1 || d.AccessTokenIn[0] != "header access-token" || d.Lookup == "" || len(d.Matching) != 1 || !d.Matching[0].Default {
		t.Errorf("got %+v", d)
	}
	other := s.replicas[1].admin(t, http.StatusNotFound, "GET", "/denials/"+id)
	if !strings.Contains(other.raw, "ask the others") {
		t.Errorf("the other replica answers %s", other.raw)
	}

	must(t, s.proxy.Close())
	s.replicas[0].admin(t, http.StatusOK, "GET", "/denials/"+id)
	id = denied("nobody-has-this")
	if d := explained(id).Data[0]; d.Reason != "unavailable" || d.Status != 503 || d.Error == "" || d.Lookup != "miss" {
		t.Errorf("without Vault: %+v", d)
	}
}
