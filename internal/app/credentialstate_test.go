package app

import (
	"net/http"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
)

// What somebody has put into Vault by hand is listed as what decisions make of it.
func TestTheStateOfARecordMadeByHandIsWhatACheckSays(t *testing.T) {
	t.Parallel()
	from := newShared()
	r := startReplica(t, from)
	r.newPair(t)
	const consumer = `"consumer":{"id":"` + DemoConsumerID + `"}`
	for key, test := range map[string]struct{ record, state string }{
		"good":           {`{"access_token":"good","secret_token":"s",` + consumer + `}`, "good"},
		"typed":          {`{"access_token":"typed","secret_token":"s","disabled":"false","ttl":"30m",` + consumer + `}`, "good"},
		"off":            {`{"access_token":"off","secret_token":"s","disabled":"true",` + consumer + `}`, "disabled"},
		"no-secret":      {`{"access_token":"no-secret",` + consumer + `}`, "malformed_record"},
		"no-consumer":    {`{"access_token":"no-consumer","secret_token":"s"}`, "malformed_record"},
		"by-name":        {`{"access_token":"by-name","secret_token":"s","consumer":{"id":"demo"}}`, "malformed_record"},
		"another":        {`{"access_token":"other","secret_token":"s",` + consumer + `}`, "malformed_record"},
		"twice":          {`{"access_token":"twice","secret_token":"s","secret_token":"s",` + consumer + `}`, "malformed_record"},
		"misspelt-limit": {`{"access_token":"misspelt-limit","secret_token":"s","expires_at":"soon",` + consumer + `}`, "malformed_record"},
		"list":           {`[]`, "malformed_record"},
		"stranger":       {`{"access_token":"stranger","secret_token":"s","consumer":{"id":"33333333-3333-4333-8333-333333333333"}}`, "unknown_consumer"},
		"a+b":            {`{"access_token":"a+b","secret_token":"s",` + consumer + `}`, "malformed_token"},
	} {
		from.mounts[demoVault].Put(key, []byte(test.record))
		code, out := r.call(t, http.MethodGet, "/vault-auth/"+demoVault+"/credentials?size=1000", nil)
		if code != http.StatusOK {
			t.Fatalf("%d %v", code, out)
		}
		state := any("not listed")
		for _, item := range out["data"].([]any) {
			if c := item.(map[string]any); c["access_token"] == key {
				state = c["state"]
			}
		}
		if state != test.state {
			t.Errorf("%s is listed as %v, want %s", key, state, test.state)
		}
		want := test.state
		if want == "good" {
			want = authz.ReasonAuthenticated.String()
		}
		got := r.ask(envoy.Question{Method: "GET", URL: "http://x/", Headers: []authz.Header{{Name: "access-token", Value: key}, {Name: "secret-token", Value: "s"}}})
		if got.Reason != want {
			t.Errorf("of %s a check says %s, want %s", key, got.Reason, want)
		}
	}
}
