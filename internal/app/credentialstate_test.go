package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
	for key, test := range map[string]struct{ record, state, mistake string }{
		"good":           {`{"access_token":"good","secret_token":"s",` + consumer + `}`, "good", ""},
		"typed":          {`{"access_token":"typed","secret_token":"s","disabled":"false","ttl":"30m",` + consumer + `}`, "good", ""},
		"off":            {`{"access_token":"off","secret_token":"s","disabled":"true",` + consumer + `}`, "disabled", ""},
		"no-secret":      {`{"access_token":"no-secret",` + consumer + `}`, "malformed_record", "secret_token: missing or empty"},
		"no-consumer":    {`{"access_token":"no-consumer","secret_token":"s"}`, "malformed_record", "consumer: missing"},
		"by-name":        {`{"access_token":"by-name","secret_token":"s","consumer":{"id":"demo"}}`, "malformed_record", "consumer.id: not a UUID; it must be the consumer's id, not its username"},
		"another":        {`{"access_token":"other","secret_token":"s",` + consumer + `}`, "malformed_record", "access_token: differs from the key that the record is stored under"},
		"twice":          {`{"access_token":"twice","secret_token":"s","secret_token":"s",` + consumer + `}`, "malformed_record", "a field is given twice"},
		"misspelt-limit": {`{"access_token":"misspelt-limit","secret_token":"s","expires_at":"soon",` + consumer + `}`, "malformed_record", "expires_at: neither Unix seconds nor an RFC 3339 time"},
		"list":           {`[]`, "malformed_record", "is an array, must be a JSON object"},
		"stranger":       {`{"access_token":"stranger","secret_token":"s","consumer":{"id":"33333333-3333-4333-8333-333333333333"}}`, "unknown_consumer", ""},
		"a+b":            {`{"access_token":"a+b","secret_token":"s",` + consumer + `}`, "malformed_token", ""},
	} {
		from.mounts[demoVault].Put(key, []byte(test.record))
		code, out := r.call(t, http.MethodGet, "/vault-auth/"+demoVault+"/credentials?size=1000", nil)
		if code != http.StatusOK {
			t.Fatalf("%d %v", code, out)
		}
		state, mistake := any("not listed"), any(nil)
		for _, item := range out["data"].([]any) {
			if c := item.(map[string]any); c["access_token"] == key {
				state, mistake = c["state"], c["mistake"]
			}
		}
		wantMistake := any(nil)
		if test.mistake != "" {
			wantMistake = test.mistake
		}
		if mistake != wantMistake {
			t.Errorf("the mistake of %s in the list is %v, want %v", key, mistake, wantMistake)
		}
		code, out = r.call(t, http.MethodGet, "/vault-auth/"+demoVault+"/credentials/token/"+url.QueryEscape(key), nil)
		one, _ := out["data"].(map[string]any)
		if isObject := test.record[0] == '{'; isObject && (code != http.StatusOK || one["mistake"] != wantMistake) ||
			!isObject && (code != http.StatusConflict || !strings.Contains(fmt.Sprint(out["message"]), "not a JSON object")) {
			t.Errorf("%s by itself: %d %v, want the mistake %v", key, code, out, wantMistake)
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
