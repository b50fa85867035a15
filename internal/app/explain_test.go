package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// decisionSeries are the lines of the metrics about decisions.
func decisionSeries(t *testing.T, at Addresses) (lines []string) {
	t.Helper()
	for line := range strings.Lines(probe(t, at, "/metrics")) {
		if strings.HasPrefix(line, "vault_authz_decision") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatal("there are no metrics of decisions")
	}
	return lines
}

func TestAnExplanationIsNoDecision(t *testing.T) {
	t.Parallel()
	at := startServing(t, mixed{newShared()})
	ask, client := asking(t, at), calling(t, at)
	partstest.Eventually(t, "a decision by the state", func() bool {
		return ask(envoy.Question{Method: "GET", URL: "http://x/", Headers: demoHeaders()}).Allowed
	})
	if _, err := client.CreateCredential(t.Context(), demoVault, "demo", api.Credential{AccessToken: "tried", SecretToken: "its-secret-value"}); err != nil {
		t.Fatal(err)
	}
	before := decisionSeries(t, at)
	for secret, reason := range map[string]string{"its-secret-value": "authenticated", "another-secret": "wrong_secret"} {
		e, err := client.Explain(t.Context(), api.Request{Host: "x", Path: "/", Headers: [][2]string{{"access-token", "tried"}, {"secret-token", secret}}})
		if err != nil || e.Reason != reason || e.Lookup == "" {
			t.Errorf("%s: %+v, %v", reason, e, err)
		}
	}
	if diff := cmp.Diff(before, decisionSeries(t, at)); diff != "" {
		t.Errorf("metrics of decisions before (-) and after (+):\n%s", diff)
	}
	o, err := client.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range o.DeniedLatest {
		if d.Reason == "wrong_secret" {
			t.Errorf("it is among the denials: %+v", d)
		}
	}
}

// An explanation is about what Envoy gets: it waits for changes that may have been missed, too.
func TestAnExplanationWaitsForTheStateAsADecisionDoes(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	s, err := build(&c, newShared(), nil, testLogs(t, &c, zap.NewNop())) // and nothing reads the state
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:9192/explain", strings.NewReader(`{"host":"x","path":"/"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.admin.ServeHTTP(w, r)
	var e authz.Explanation
	if err := json.Unmarshal(w.Body.Bytes(), &e); w.Code != http.StatusOK || err != nil {
		t.Fatal(w.Code, err, w.Body)
	}
	if len(e.Steps) != 1 || e.Steps[0].Name != "state" || !strings.Contains(e.Steps[0].Result, "waiting for changes that may have been missed") {
		t.Errorf("got %+v", e)
	}
}
