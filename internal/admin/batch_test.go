package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/api"
)

func (b *bench) batch(operations ...string) answer {
	b.Helper()
	return b.json("POST", "/batch", `{"operations":[`+strings.Join(operations, ",")+`]}`)
}

// outcomes are the status and the message of each answer.
func (a answer) outcomes(t *testing.T) []string {
	t.Helper()
	var body struct {
		Answers []struct {
			Status int
			Body   struct{ Message string }
		}
	}
	if err := json.Unmarshal([]byte(a.raw), &body); err != nil {
		t.Fatalf("%v: %s", err, a.raw)
	}
	var all []string
	for _, o := range body.Answers {
		all = append(all, strings.TrimSpace(fmt.Sprint(o.Status, " ", o.Body.Message)))
	}
	return all
}

func TestOperationOfABatchIsAnsweredAsTheSingleCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "/consumers", `{"username":"carol","id":"` + someID + `"}`},
		{"POST", "/consumers/", `{"username":"carol","id":"` + someID + `"}`},
		{"POST", "/default/consumers", `{"username":"carol","id":"` + someID + `"}`},
		{"POST", "/other/consumers", `{"username":"carol"}`},
		{"POST", "/consumers", `{"username":"alice"}`},
		{"POST", "/consumers", `{"username":5}`},
		{"POST", "/consumers", `{"username":"x","username":"y"}`},
		{"POST", "/consumers", `[]`},
		{"POST", "/consumers", `null`},
		{"POST", "/consumers", ``},
		{"PUT", "/consumers/a%2Fb+c", `{"id":"` + someID + `"}`},
		{"PATCH", "/consumers/alice", `{"tags":["x"]}`},
		{"PATCH", "/consumers/nobody", `{"tags":["x"]}`},
		{"DELETE", "/consumers/alice", ``},
		{"POST", "/consumers/alice/acls", `{"group":"gold","id":"` + someID + `"}`},
		{"POST", "/vault-auth/kong-auth/credentials/alice", `{"access_token":"one","secret_token":"two"}`},
		{"POST", "/vault-auth/kong-auth/credentials/nobody", `{}`},
		{"DELETE", "/vault-auth/kong-auth/credentials/token/none", ``},
		{"POST", "/plugins", `{"name":"acl","config":{"allow":["gold"]},"id":"` + someID + `"}`},
		{"PUT", "/status", `{}`},
		{"put", "/consumers/alice", `{}`},
		{"POST", "/services", `{}`},
		{"POST", "/nothing", `{}`},
		{"POST", "/consumers/../consumers", `{"username":"carol"}`},
		{"POST", "//localhost/consumers", `{"username":"carol"}`},
	} {
		single, batched := furnished(t), furnished(t)
		var want answer
		if tt.body == "" {
			want = single.do(tt.method, tt.path, "", "")
		} else {
			want = single.json(tt.method, tt.path, tt.body)
		}
		operation := map[string]any{"method": tt.method, "path": tt.path}
		if tt.body != "" {
			operation["body"] = json.RawMessage(tt.body)
		}
		raw := mustJSON(t, operation)
		got := batched.must(200, batched.batch(raw))
		var body struct {
			Answers []struct {
				Status int
				Body   map[string]any
			}
		}
		if err := json.Unmarshal([]byte(got.raw), &body); err != nil || len(body.Answers) != 1 {
			t.Fatalf("%s: %v: %s", raw, err, got.raw)
		}
		// Ids are random, and the second may end between the two.
		ignoreIDs := cmp.FilterPath(func(p cmp.Path) bool {
			return slices.Contains([]string{`["id"]`, `["created_at"]`, `["updated_at"]`}, p.Last().String())
		}, cmp.Ignore())
		if diff := cmp.Diff(want.body, body.Answers[0].Body, ignoreIDs); diff != "" || want.status != body.Answers[0].Status {
			t.Errorf("%s: got %d, want %d; bodies differ, single (-), batch (+):\n%s", raw, body.Answers[0].Status, want.status, diff)
		}
		lines := func(b *bench) (all []string) {
			for _, l := range b.audit.All() {
				m := l.ContextMap()
				all = append(all, fmt.Sprint(m["who"], m["role"], m["from"], m["route"], m["action"], m["entity"], m["outcome"]))
			}
			return all
		}
		if diff := cmp.Diff(lines(single), lines(batched)); diff != "" {
			t.Errorf("%s: the audit lines differ, single (-), batch (+):\n%s", raw, diff)
		}
	}
}

func TestOnlyChangesAreOperations(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	const nested = `{"method":"POST","path":"%s","body":{"operations":[{"method":"POST","path":"/consumers","body":{"username":"nested"}}]}}`
	got := b.must(200, b.batch(
		`{"method":"GET","path":"/consumers"}`,
		`{"method":"HEAD","path":"/consumers"}`,
		`{"method":"GET","path":"/openapi.yaml"}`,
		fmt.Sprintf(nested, "/batch"), fmt.Sprintf(nested, "/default/batch/"),
		`{"method":"POST","path":"http://evil.example.com/consumers","body":{"username":"x"}}`,
		`{"method":"POST","path":"evil.example.com/consumers","body":{"username":"x"}}`,
		`{"method":"POST","path":"*","body":{"username":"x"}}`,
		`{"method":"POST","path":"/consumers HTTP/1.1\r\nHost: evil\r\n\r\n","body":{"username":"x"}}`,
	)).outcomes(t)
	const no, noPath = "400 Not an operation of a batch: those are the calls that change one entity or credential", "400 path: expected the path of a call, beginning with a slash"
	want := []string{no, no, no, no, no, noPath, noPath, noPath, noPath}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if n := len(b.store.all()); n != 3 {
		t.Errorf("%d entities are stored, want the 3 of before", n)
	}
}

func TestBatchThatIsNoneChangesNothing(t *testing.T) {
	t.Parallel()
	const good = `{"method":"POST","path":"/consumers","body":{"username":"x"}}`
	b := newBench(t)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"no JSON", typeJSON, "x", 400},
		{"nothing", "", "", 415},
		{"a form", typeForm, "operations=x", 415},
		{"not a list", typeJSON, `{"operations":` + good + `}`, 400},
		{"none", typeJSON, `{"operations":[]}`, 400},
		{"too many", typeJSON, `{"operations":[` + strings.Repeat(good+",", api.MaxOperations) + good + `]}`, 400},
		{"more than operations", typeJSON, `{"operations":[` + good + `],"atomic":true}`, 400},
		{"operations in capitals", typeJSON, `{"Operations":[` + good + `]}`, 400},
		{"operations twice", typeJSON, `{"operations":[],"operations":[` + good + `]}`, 400},
		{"a method twice", typeJSON, `{"operations":[{"method":"DELETE",` + good[1:] + `]}`, 400},
		{"a method in capitals", typeJSON, `{"operations":[{"METHOD":"DELETE",` + good[1:] + `]}`, 400},
		{"one that has headers", typeJSON, `{"operations":[` + good + `,{"headers":{"Host":"x"},` + good[1:] + `]}`, 400},
		{"one without a path", typeJSON, `{"operations":[` + good + `,{"method":"POST"}]}`, 400},
		{"one that is null", typeJSON, `{"operations":[` + good + `,null]}`, 400},
		{"too large", typeJSON, `{"operations":[` + good + strings.Repeat(" ", defaultMaxBody) + `]}`, 413},
	} {
		a := b.do("POST", "/batch", tt.contentType, tt.body)
		if a.status != tt.status || len(b.store.all()) > 0 {
			t.Errorf("%s: got %d and %d entities, want %d and none: %s", tt.name, a.status, len(b.store.all()), tt.status, a.raw)
		}
	}
}

func TestOneFailureDoesNotStopTheOthersOfABatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var operations, want []string
	for i := range api.MaxOperations {
		name := fmt.Sprintf(`"user-%d"`, i)
		outcome := "201"
		switch i % 3 {
		case 1:
			name, outcome = "5", "400 schema violation (username: expected a string)"
		case 2:
			name, outcome = `"\u0000"`, "400"
		}
		operations = append(operations, `{"method":"POST","path":"/consumers","body":{"username":`+name+`}}`)
		want = append(want, outcome)
	}
	got := b.must(200, b.batch(operations...)).outcomes(t)
	for i := range got {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("operation %d: got %q, want %q", i, got[i], want[i])
		}
	}
	if n := len(b.store.all()); n != (api.MaxOperations+2)/3 || len(got) != api.MaxOperations {
		t.Errorf("%d answers, %d entities, want %d and %d", len(got), n, api.MaxOperations, (api.MaxOperations+2)/3)
	}
}

func TestOnlyAWriterMayUseABatch(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for token, want := range map[string]int{"reads": 403, "none": 401, "first": 200} {
		b.headers["Authorization"] = "Bearer " + token
		a := b.batch(`{"method":"POST","path":"/consumers","body":{"username":"by-` + token + `"}}`)
		if a.status != want {
			t.Errorf("the token %q: got %d, want %d: %s", token, a.status, want, a.raw)
		}
	}
	if n := len(b.store.all()); n != 1 {
		t.Errorf("%d entities are stored, want the one of the writer", n)
	}
}

// meeting is a store whose writers meet: each waits until a number of them are there.
type meeting struct {
	*fakeStore
	want  int64
	there atomic.Int64
	all   chan struct{}
	once  sync.Once
}

func (m *meeting) Refresh(ctx context.Context) error {
	if m.there.Add(1) == m.want {
		m.once.Do(func() { close(m.all) })
	}
	select {
	case <-m.all:
		return m.fakeStore.Refresh(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestOperationsOfABatchRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	together := &meeting{want: batchAtOnce, all: make(chan struct{})}
	b := newBench(t, func(_ *Config, d *Dependencies) {
		together.fakeStore, _ = d.Store.(*fakeStore)
		d.Store = together
	})
	var operations []string
	for i := range batchAtOnce {
		operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/consumers","body":{"username":"user-%d"}}`, i))
	}
	for i, o := range b.must(200, b.batch(operations...)).outcomes(t) {
		if o != "201" {
			t.Fatalf("operation %d: %s", i, o)
		}
	}
}

func TestBatchEndsInTimeAndSaysWhatWasNotTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := &meeting{want: -1, all: make(chan struct{})}
		b := newBench(t, func(c *Config, d *Dependencies) {
			c.Timeout = 200 * time.Millisecond
			never.fakeStore, _ = d.Store.(*fakeStore)
			d.Store = never
		})
		var operations []string
		for i := range 2 * batchAtOnce {
			operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/consumers","body":{"username":"user-%d"}}`, i))
		}
		notTried := 0
		for i, o := range b.must(200, b.batch(operations...)).outcomes(t) {
			if !strings.HasPrefix(o, "503 ") {
				t.Fatalf("operation %d: %s", i, o)
			}
			if strings.Contains(o, "Not tried") {
				notTried++
			}
		}
		if notTried != batchAtOnce {
			t.Errorf("%d were not tried, want %d", notTried, batchAtOnce)
		}
	})
}

func TestClientMakesABatch(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	server := httptest.NewServer(b.api)
	t.Cleanup(server.Close)
	c, err := api.NewClient(server.URL, "", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	name := "a/b c"
	failures, err := c.Batch(t.Context(), []api.Operation{
		api.CreateConsumer(api.Consumer{Username: &name}), api.AddToGroup("alice", api.ACL{Group: "gold"}), api.AddToGroup("nobody", api.ACL{Group: "gold"}),
	})
	if err != nil || len(failures) != 3 || failures[0] != nil || failures[1] != nil || failures[2] == nil || failures[2].Error() != "404: Not found" {
		t.Errorf("Batch = %v, %v; want that only the last one failed, with 404", failures, err)
	}
	if _, err := c.Consumers.Get(t.Context(), name); err != nil {
		t.Errorf("the consumer that was made: %v", err)
	}
	if _, err := c.Batch(t.Context(), nil); err == nil {
		t.Error("a batch of nothing was taken")
	}
}
