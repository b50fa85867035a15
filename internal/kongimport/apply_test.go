package kongimport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/api"
)

// recorder is an admin API that takes everything but what it refuses.
type recorder struct {
	refuses string
	// largest is how many operations a batch may have, 0 for any number.
	largest int
	// before is called before each batch.
	before func(batch int)

	mu      sync.Mutex
	calls   []string
	batches int
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if req.URL.Path == "/batch" {
		r.batch(w, body)
		return
	}
	status, answer := r.one(req.Method, req.URL.Path, string(body))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (r *recorder) one(method, path, body string) (status int, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, method+" "+path+" "+body)
	if r.refuses != "" && strings.HasPrefix(path, r.refuses) {
		return http.StatusServiceUnavailable, `{"message":"no Vault"}`
	}
	return http.StatusCreated, `{}`
}

func (r *recorder) batch(w http.ResponseWriter, body []byte) {
	var batch struct {
		Operations []struct {
			Method, Path string
			Body         json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		panic(err)
	}
	r.mu.Lock()
	r.batches++
	n := r.batches
	r.mu.Unlock()
	if r.before != nil {
		r.before(n)
	}
	if r.largest > 0 && len(batch.Operations) > r.largest {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var answers []string
	for _, o := range batch.Operations {
		status, answer := r.one(o.Method, o.Path, string(o.Body))
		answers = append(answers, fmt.Sprintf(`{"status":%d,"body":%s}`, status, answer))
	}
	_, _ = io.WriteString(w, `{"answers":[`+strings.Join(answers, ",")+`]}`)
}

func applied(t *testing.T, file string, r *recorder) *Changes {
	t.Helper()
	changes := planned(t, file, &Existing{})
	apply(t, t.Context(), changes, r)
	return changes
}

// apply returns how many are made. By then every call to r has ended, too: after an
// interruption that is later than Apply.
func apply(t *testing.T, ctx context.Context, changes *Changes, r *recorder) int {
	t.Helper()
	server := httptest.NewServer(r)
	defer server.Close()
	client, err := api.NewClient(server.URL, "", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	changes.Apply(ctx, client, func(n int) { made += n })
	return made
}

// crowd is a file with n consumers with a group each, and an acl.
func crowd(n int) string {
	var consumers []string
	for i := range n {
		consumers = append(consumers, fmt.Sprintf(`{"id":"%08d-0000-4000-8000-000000000000","username":"user-%d","acls":[{"group":"gold"}]}`, i, i))
	}
	return `{"consumers":[` + strings.Join(consumers, ",") + `],"plugins":[{"name":"acl","config":{"allow":["gold"]}}]}`
}

func TestApplyMakesManyWithFewCalls(t *testing.T) {
	t.Parallel()
	var r recorder
	const n = 2*batchSize + 1
	changes := planned(t, crowd(n), &Existing{})
	if made := apply(t, t.Context(), changes, &r); made != 2*n+1 || changes.Count(Created) != 2*n+1 {
		t.Errorf("%d of %d are made, %d created, want all", made, 2*n+1, changes.Count(Created))
	}
	if r.batches != 6 {
		t.Errorf("%d calls, want 6", r.batches)
	}
	for i, call := range r.calls[:n] {
		if !strings.HasPrefix(call, "POST /consumers {") {
			t.Fatalf("call %d is %s: every consumer comes before every group", i, call)
		}
	}
	if last := r.calls[len(r.calls)-1]; !strings.HasPrefix(last, "POST /plugins ") {
		t.Errorf("the last call is %s, want the plugin", last)
	}
}

func TestBatchThatIsTooLargeForTheServiceIsDivided(t *testing.T) {
	t.Parallel()
	r := recorder{largest: 10}
	if changes := applied(t, crowd(100), &r); changes.Count(Created) != 201 {
		t.Errorf("%d created, want all 201:\n%s", changes.Count(Created), lines(changes))
	}
}

func TestNothingMoreIsTriedWhenTheServiceIsDown(t *testing.T) {
	t.Parallel()
	r := recorder{refuses: "/consumers"}
	changes := applied(t, crowd(20*batchSize), &r)
	if r.batches > batchesAtOnce+1 {
		t.Errorf("%d calls although all of them failed", r.batches)
	}
	if got := changes.Count(Failed); got != len(changes.Steps) {
		t.Errorf("%d of %d steps failed, want all", got, len(changes.Steps))
	}
	var out bytes.Buffer
	if err := changes.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not tried: 503: no Vault\n", " 503: no Vault\n", "run it again"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "\n"); n > 60 {
		t.Errorf("%d lines are printed, want a few:\n%s", n, &out)
	}
}

func TestInterruptionEndsItAndSaysWhatWasNotTried(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	r := recorder{before: func(batch int) {
		if batch == 3 {
			interrupt()
		}
	}}
	changes := planned(t, crowd(20*batchSize), &Existing{})
	apply(t, ctx, changes, &r)
	if created := changes.Count(Created); created == 0 || created+changes.Count(Failed) != len(changes.Steps) || r.batches > 5 {
		t.Errorf("%d created, %d failed of %d, %d calls", created, changes.Count(Failed), len(changes.Steps), r.batches)
	}
	var out bytes.Buffer
	if err := changes.Print(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "not tried: interrupted") {
		t.Errorf("printed:\n%s", &out)
	}
}

func TestRunAgainItMakesOnlyWhatIsMissingAndSaysSo(t *testing.T) {
	t.Parallel()
	var have Existing
	first := planned(t, crowd(300), &have)
	for i := range first.Steps {
		if s := &first.Steps[i]; s.Kind == kindConsumer && i%2 == 0 {
			c, _ := s.operation.Body.(api.Consumer)
			have.Consumers = append(have.Consumers, c)
		}
	}
	var r recorder
	changes := planned(t, crowd(300), &have)
	apply(t, t.Context(), changes, &r)
	if len(r.calls) != 601-150 {
		t.Errorf("%d calls, want one for each of the %d that are missing", len(r.calls), 601-150)
	}
	var out bytes.Buffer
	if err := changes.Print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "consumer: 150 created, 150 equal (there already)\n"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing:\n%s", want, &out)
	}
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

func TestAVaultObjectWithoutAnIDGetsTheSameOneAtEveryRun(t *testing.T) {
	t.Parallel()
	var r recorder
	applied(t, strings.Replace(whole, `"id":"`+vaultID+`",`, "", 1), &r)
	const id = "efd0bf5d-bf31-5a07-846c-cddd3bafee7e"
	if first, last := r.calls[0], r.calls[len(r.calls)-1]; !strings.Contains(first, `{"id":"`+id+`","name":"main"`) || !strings.Contains(last, `"vault":{"id":"`+id+`"}`) {
		t.Errorf("got the calls %s and %s, want the vault object made, and referred to, under %s", first, last, id)
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
