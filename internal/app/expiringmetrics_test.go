package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// ofBounds returns a metric of the demo vault object, by the label within.
func (s *service) ofBounds(t *testing.T, metric string) map[string]int {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["vault"] == demoVault {
				counts[labels["within"]] = int(m.GetGauge().GetValue())
			}
		}
	}
	return counts
}

const (
	expiringMetric = "vault_authz_credentials_in_use_expiring"
	replacedMetric = "vault_authz_previous_secrets_in_use_expiring"
)

func TestCredentialsInUseThatExpireAreCounted(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	pair := r.newPair(t)
	path := "/vault-auth/" + demoVault + "/credentials/token/" + fmt.Sprint(pair["access_token"])
	change := func(name, value string) {
		t.Helper()
		if code, out := r.call(t, http.MethodPatch, path, url.Values{name: {value}}); code != http.StatusOK {
			t.Fatalf("%d %v", code, out)
		}
	}
	expiresIn := func(d time.Duration) { change("expires_at", strconv.FormatInt(time.Now().Add(d).Unix(), 10)) }
	wantNone := func(when string) {
		t.Helper()
		if got := r.ofBounds(t, expiringMetric); len(got) != 3 || got["30d"] != 0 {
			t.Errorf("%s: %v, want none within 1d, 7d and 30d", when, got)
		}
	}
	// The replica reads its own change a second time, and drops the credential then, too.
	wantInUse := func(when string, counts map[string]int) {
		t.Helper()
		partstest.Eventually(t, when+" it is counted", func() bool {
			return r.allows(pair) && fmt.Sprint(r.ofBounds(t, expiringMetric)) == fmt.Sprint(counts)
		})
	}
	expiresIn(3 * 24 * time.Hour)
	wrong := map[string]any{"access_token": pair["access_token"], "secret_token": "wrong"}
	if r.allows(wrong) {
		t.Fatal("a wrong secret is allowed")
	}
	wantNone("before it is used")
	wantInUse("used", map[string]int{"1d": 0, "7d": 1, "30d": 1})
	partstest.Eventually(t, "used, the overview tells of it", func() bool {
		told := r.vaults.Health()[0].Expiring
		return r.allows(pair) && told != nil && *told == api.Expiring{Week: 1, Month: 1}
	})
	expiresIn(time.Hour)
	wantNone("its end has changed")
	wantInUse("with another end", map[string]int{"1d": 1, "7d": 1, "30d": 1})
	change("disabled", "true")
	r.allows(pair)
	wantNone("disabled")
}

func TestAReplacedSecretInUseIsCounted(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	pair := r.newPair(t)
	r.allows(pair)
	code, out := r.call(t, http.MethodPost, "/vault-auth/"+demoVault+"/credentials/token/"+fmt.Sprint(pair["access_token"])+"/rotate", url.Values{"grace": {"1800"}})
	if code != http.StatusCreated {
		t.Fatalf("%d %v", code, out)
	}
	rotated, _ := out["data"].(map[string]any)
	if !r.allows(rotated) {
		t.Fatal("the new secret is denied")
	}
	if got := r.ofBounds(t, replacedMetric); got["1h"] != 0 || got["1d"] != 0 {
		t.Errorf("the new secret is used: %v, want none", got)
	}
	partstest.Eventually(t, "the previous secret is used and counted", func() bool {
		allowed, got := r.allows(pair), r.ofBounds(t, replacedMetric)
		return allowed && got["1h"] == 1 && got["1d"] == 1
	})
	if got := r.ofBounds(t, expiringMetric); got["30d"] != 0 {
		t.Errorf("the credential has no end: %v, want none", got)
	}
}

// TestExpiringCredentialsAreCountedWithoutAState: they need no admin API.
func TestExpiringCredentialsAreCountedWithoutAState(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.State.Vault = ""
	from := newShared()
	r := startReplicaWith(t, from, &c)
	document, err := json.Marshal(map[string]any{
		"access_token": "short-lived", "secret_token": "its-secret", "consumer": map[string]string{"id": DemoConsumerID}, "expires_at": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	from.mounts[c.Vaults[0].Mount].Put("short-lived", document)
	if !r.allows(map[string]any{"access_token": "short-lived", "secret_token": "its-secret"}) {
		t.Fatal("the pair is denied")
	}
	if got := r.ofBounds(t, expiringMetric); got["1d"] != 1 {
		t.Errorf("got %v, want 1 within 1d", got)
	}
	r.vaults.InvalidateAll()
	if got := r.ofBounds(t, expiringMetric); got["1d"] != 0 {
		t.Errorf("after all credentials are dropped: %v, want none", got)
	}
}
