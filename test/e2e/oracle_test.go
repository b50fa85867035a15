package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// requestID matches the part of a body that differs between any two answers.
var requestID = regexp.MustCompile(`"request_id":"[^"]*"`)

// clientView returns what a client can compare of an answer.
func clientView(a answer) string {
	text := fmt.Sprintln(a.status)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "Date" && name != "X-Envoy-Upstream-Service-Time" {
			text += fmt.Sprintln(name, a.header[name])
		}
	}
	return text + requestID.ReplaceAllString(a.body, "")
}

// TestAnswersDoNotTellWhichCredentialsAreCached compares the answers to an unknown access
// token, to cached ones that are disabled or expired, and to a wrong secret: while Vault
// answers, while it does not, and afterwards.
func TestAnswersDoNotTellWhichCredentialsAreCached(t *testing.T) {
	t.Parallel()
	made := fragileSetup()
	// On a busy machine a healthy Vault may take longer than this.
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
		{"Vault answers", func() {}, http.StatusUnauthorized},
		{"Vault does not answer", func() { bed.proxy.SetReset(true) }, http.StatusServiceUnavailable},
		{"Vault answers again", func() { bed.proxy.SetReset(false) }, http.StatusUnauthorized},
	} {
		phase.before()
		// Absent entries expire, and vault-authz notices that Vault answers again.
		time.Sleep(1500 * time.Millisecond)
		for _, policy := range []string{"default", "brief"} {
			// The first request after an outage may only cause the probe that ends it.
			partstest.Await(t, reloadLimit, func(ctx context.Context) error {
				p := pair{unique("unknown"), unique("secret")}
				a, err := bed.try(ctx, onClosed, protocols()[0], request{policy: policy, target: "/before", header: p.headers()})
				if err == nil && a.status != phase.want {
					err = fmt.Errorf("%s, policy %s: status %d for an unknown token, want %d", phase.name, policy, a.status, phase.want)
				}
				return err
			})
			if a := bed.send(t, onClosed, protocols()[0], request{policy: policy, target: "/good", header: good.headers()}); a.status != http.StatusOK {
				t.Errorf("%s, policy %s: a good credential: status %d, want 200", phase.name, policy, a.status)
			}
			answers := map[string][]string{}
			for name, p := range bad {
				a := bed.send(t, onClosed, protocols()[0], request{policy: policy, target: "/bad", header: p.headers()})
				if a.status != phase.want {
					t.Errorf("%s, policy %s, %s: status %d, want %d", phase.name, policy, name, a.status, phase.want)
				}
				answers[clientView(a)] = append(answers[clientView(a)], name)
			}
			if len(answers) != 1 {
				t.Errorf("%s, policy %s: %d kinds of answers, want one: %q", phase.name, policy, len(answers), answers)
			}
		}
	}
}
