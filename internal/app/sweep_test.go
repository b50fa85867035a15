package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A credential that is deleted in the store behind the back of the service holds
// for an hour by its ttl, and is denied after the next sweep.
func TestACredentialDeletedInTheStoreIsDeniedAfterASweep(t *testing.T) {
	t.Parallel()
	from := newShared()
	c := DevConfig()
	c.Vaults[0].Cache.TTL = time.Hour
	c.Vaults[0].Sweep.Interval = time.Second
	r := startReplicaWith(t, from, &c)
	demo := map[string]any{"access_token": DemoAccessToken, "secret_token": DemoSecretToken}
	eventually(t, "the demo credential is allowed", func() bool { return r.allows(demo) })
	if err := from.mounts[demoVault].Delete(t.Context(), DemoAccessToken); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is denied after a sweep", func() bool { return !r.allows(demo) })

	var rec *httptest.ResponseRecorder
	eventually(t, "the sweep is counted", func() bool {
		rec = httptest.NewRecorder()
		r.metrics.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return strings.Contains(rec.Body.String(), `vault_authz_sweep_dropped_total{vault="memory"} 1`)
	})
	for _, want := range []string{
		`vault_authz_sweeps_total{outcome="failed",vault="memory"} 0`,
		`vault_authz_deletion_worst_case_seconds{vault="memory"} 1`,
		`vault_authz_revocation_worst_case_seconds{vault="memory"} 3630`,
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}
