package app

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
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
	demoRecord, found, err := from.mounts[demoVault].Read(t.Context(), DemoAccessToken)
	if err != nil || !found {
		t.Fatalf("no demo credential: %t, %v", found, err)
	}
	var rec *httptest.ResponseRecorder
	// A machine that stops this process for seconds makes the replica drop what it holds, so
	// that a sweep finds nothing to drop: then it is done again.
	dropped := regexp.MustCompile(`vault_authz_sweep_dropped_total\{vault="memory"\} [1-9]`)
	partstest.Eventually(t, "a sweep drops it, and counts that", func() bool {
		from.mounts[demoVault].Put(DemoAccessToken, demoRecord)
		partstest.Eventually(t, "the demo credential is allowed", func() bool { return r.allows(demo) })
		if err := from.mounts[demoVault].Delete(t.Context(), DemoAccessToken); err != nil {
			t.Fatal(err)
		}
		partstest.Eventually(t, "it is denied after a sweep", func() bool { return !r.allows(demo) })
		rec = httptest.NewRecorder()
		r.metrics.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return dropped.MatchString(rec.Body.String())
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
