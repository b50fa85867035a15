package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// requestID is what differs between any two answers.
var requestID = regexp.MustCompile(`"request_id":"[^"]*"`)

// seen is what a client sees of an answer.
func seen(a answer) string {
	text := fmt.Sprintln(a.status)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "Date" && name != "X-Envoy-Upstream-Service-Time" {
			text += fmt.Sprintln(name, a.header[name])
		}
	}
	return text + requestID.ReplaceAllString(a.body, "")
}

// TestAnswersDoNotTellWhichCredentialsAreCached: an unknown access token, and one in
// the cache that is no good or is given with a wrong secret, while Vault is well, while
// it is away, and when it is back.
func TestAnswersDoNotTellWhichCredentialsAreCached(t *testing.T) {
	t.Parallel()
	made := fragileSetup()
	// A busy machine may take longer than that for an answer of a Vault that is well.
	made.entities = strings.Replace(made.entities, "timeout: 300ms, ", "", 1)
	bed := ownTestbed(t, made)
	good := bed.credential(t, aliceID, nil)
	bad := map[string]pair{
		"a wrong secret": {bed.credential(t, aliceID, nil).access, ""},
		"disabled":       bed.credential(t, aliceID, map[string]any{"disabled": true}),
		"expired":        bed.credential(t, aliceID, map[string]any{"expires_at": time.Now().Add(-time.Hour).Format(time.RFC3339)}),
		"unknown":        {unique("unknown"), unique("secret")},
	}
	wrong := bad["a wrong secret"]
	wrong.secret = unique("wrong")
	bad["a wrong secret"] = wrong
	for _, phase := range []struct {
		name   string
		before func()
		want   int
	}{
		{"Vault is well", func() {}, http.StatusUnauthorized},
		{"Vault is away", func() { bed.proxy.SetReset(true) }, http.StatusServiceUnavailable},
		{"Vault is back", func() { bed.proxy.SetReset(false) }, http.StatusUnauthorized},
	} {
		phase.before()
		// What was asked for is forgotten, and a server that is back is noticed.
		time.Sleep(1500 * time.Millisecond)
		for _, policy := range []string{"default", "brief"} {
			if a := bed.send(t, onClosed, protocols()[0], request{policy: policy, target: "/good", header: good.headers()}); a.status != http.StatusOK {
				t.Errorf("%s, policy %s: a good credential: status %d, want 200", phase.name, policy, a.status)
			}
			answers := map[string][]string{}
			for name, p := range bad {
				a := bed.send(t, onClosed, protocols()[0], request{policy: policy, target: "/bad", header: p.headers()})
				if a.status != phase.want {
					t.Errorf("%s, policy %s, %s: status %d, want %d", phase.name, policy, name, a.status, phase.want)
				}
				answers[seen(a)] = append(answers[seen(a)], name)
			}
			if len(answers) != 1 {
				t.Errorf("%s, policy %s: %d kinds of answers, want one: %q", phase.name, policy, len(answers), answers)
			}
		}
	}
}
