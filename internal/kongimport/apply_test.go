package kongimport

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/admin"
)

// recorder is an admin API that takes everything but what it refuses.
type recorder struct {
	refuses string
	calls   []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		_, _ = io.WriteString(w, `{"id":"`+groupID+`","name":"main"}`)
		return
	}
	body, _ := io.ReadAll(req.Body)
	r.calls = append(r.calls, req.Method+" "+req.URL.Path+" "+string(body))
	if r.refuses != "" && strings.HasPrefix(req.URL.Path, r.refuses) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"message":"no Vault"}`)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{}`)
}

func applied(t *testing.T, file string, r *recorder) *Changes {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	client, err := admin.NewClient(server.URL, "", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	changes := planned(t, file, &Existing{})
	changes.Apply(t.Context(), client)
	return changes
}

const whole = vaultJSON + `{"consumers":[{"id":"` + aliceID + `","username":"alice","acls":[{"group":"gold"}]}],` +
	`"plugins":[{"name":"vault-auth","id":"` + pluginID + `","config":{"vault":"main","hide_credentials":true}},{"name":"acl","config":{"allow":["gold"]}}]}`

func TestApplyMakesWhatLimitsAccessBeforeWhatGivesIt(t *testing.T) {
	t.Parallel()
	var r recorder
	changes := applied(t, whole, &r)
	want := []string{
		`POST /vault-auth {"id":"` + vaultID + `","name":"main","protocol":"https","host":"vault.internal","port":8200,"mount":"kong-auth","vault_token":"` + token + `","kv":"v1"}`,
		`POST /consumers {"id":"` + aliceID + `","username":"alice"}`,
		`POST /consumers/` + aliceID + `/acls {"group":"gold"}`,
		`POST /plugins {"name":"acl","config":{"allow":["gold"]}}`,
		`POST /plugins {"id":"` + pluginID + `","name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}`,
	}
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Errorf("calls: want (-), got (+):\n%s", diff)
	}
	if got := changes.Count(Created); got != len(want) {
		t.Errorf("got %d created, want %d:\n%s", got, len(want), lines(changes))
	}
	var out bytes.Buffer
	if err := changes.Print(&out); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&out).Encode(changes); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), token) || !strings.Contains(out.String(), "5 created") {
		t.Errorf("printed:\n%s", &out)
	}
}

func TestApplyFindsAVaultObjectThatHadNoIDByItsName(t *testing.T) {
	t.Parallel()
	var r recorder
	applied(t, strings.Replace(whole, `"id":"`+vaultID+`",`, "", 1), &r)
	if last := r.calls[len(r.calls)-1]; !strings.Contains(last, `"vault":{"id":"`+groupID+`"}`) {
		t.Errorf("got the call %s, want it to refer to the vault object by the id that the API gave it", last)
	}
}

func TestNoPluginIsMadeOnceSomethingFailed(t *testing.T) {
	t.Parallel()
	r := recorder{refuses: "/consumers/"}
	changes := applied(t, whole, &r)
	want := `created vault-auth main d3da058d
created consumer alice ce67c25e
failed acl alice: gold | 503: no Vault
failed plugin acl | not made, because something before it failed
failed plugin vault-auth b4d0cbb7 | not made, because something before it failed
`
	if diff := cmp.Diff(want, lines(changes)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestWhatAFileHasInItDoesNotSteerATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := planned(t, `{"upstreams":[{"name":"a\u001b[2J\nb"}]}`, &Existing{}).Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), `"a\x1b[2J\nb"`) {
		t.Errorf("printed %q", out.String())
	}
}
