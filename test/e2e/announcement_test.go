package e2e

import (
	"encoding/json"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// extraKong is the record in the section "Extra-Kong Token Pairs" of Kong's
// announcement, which pipes it into `vault write kong-auth/foo -`.
const extraKong = `{
	"access_token": "foo",
	"secret_token": "supersecretvalue",
	"consumer": {
		"id": "ce67c25e-2168-4a09-81e5-e06187a2384f"
	},
	"ttl": 86400
}`

// TestATokenPairMadeOutsideOfKong writes the record of the announcement directly
// into Vault and uses it by query and by header.
func TestATokenPairMadeOutsideOfKong(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	bed.walkThroughTheAnnouncement(t, "default", "v2")
}

// TestATokenPairMadeInOpenBao does the same on OpenBao.
func TestATokenPairMadeInOpenBao(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "BAO_BIN")
	s := sharedSetup()
	s.openBao = true
	bed := ownTestbed(t, s)
	bed.walkThroughTheAnnouncement(t, "default", "v2")
	if a := bed.get(t, request{policy: "default", target: "/", header: pair{"foo", unique("wrong")}.headers()}); a.status != 401 {
		t.Errorf("a wrong secret: status = %d, want 401", a.status)
	}
}

func (bed *testbed) walkThroughTheAnnouncement(t *testing.T, policies ...string) {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal([]byte(extraKong), &record); err != nil {
		t.Fatal(err)
	}
	const secret = "supersecretvalue"
	suite.secrets.add(secret)
	bed.put(t, "foo", record)
	for _, policy := range policies {
		for _, listener := range []string{onHeaders, onRaw} {
			requests := map[string]request{
				"query":                    {policy: policy, target: "/request?access_token=foo&secret_token=" + secret},
				"header":                   {policy: policy, target: "/request", header: pair{"foo", secret}.headers()},
				"header, as in other HTTP": {policy: policy, target: "/request", header: []field{{"Access-Token", "foo"}, {"Secret-Token", secret}}},
			}
			for name, r := range requests {
				a := bed.send(t, listener, protocols()[0], r)
				if a.echo == nil {
					t.Fatalf("%s, policy %s, listener %s: status = %d, body %s", name, policy, listener, a.status, a.body)
				}
				if got := a.echo.Headers["x-consumer-id"]; len(got) != 1 || got[0] != aliceID {
					t.Errorf("%s, policy %s, listener %s: x-consumer-id = %q, want %q", name, policy, listener, got, aliceID)
				}
				if a.echo.Target != "/request" {
					t.Errorf("%s, policy %s, listener %s: the upstream got %q, want /request", name, policy, listener, a.echo.Target)
				}
			}
		}
	}
}
