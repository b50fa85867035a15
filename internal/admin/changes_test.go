package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/state"
)

func TestEveryChangeIsAuditedWithoutSecrets(t *testing.T) {
	t.Parallel()
	hash := hashOf("operator-token")
	b := newBench(t, func(c *Config, _ *Dependencies) {
		c.Tokens = []authn.Token{{Name: "olga", SHA256: hash, Role: authn.RoleWrite}}
	})
	b.headers["Authorization"] = "Bearer operator-token"
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	b.must(200, b.form("PATCH", "/consumers/alice", "custom_id=c"))
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=supersecretvalue"))
	b.must(201, b.do("POST", credentials+"/token/foo/rotate", "", ""))
	b.must(204, b.do("DELETE", credentials+"/token/foo", "", ""))
	b.must(204, b.do("DELETE", "/consumers/alice", "", ""))
	b.must(409, b.form("POST", "/vault-auth", vaultForm))
	var got []string
	for _, line := range b.ended() {
		f := line.ContextMap()
		got = append(got, fmt.Sprintf("%s: %s %s, %s, %s, before %t after %t", f["who"], f["action"], f["entity"], f["route"], f["outcome"], f["before"] != nil, f["after"] != nil))
		raw, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{vaultToken, "supersecretvalue", "operator-token", `"foo"`, "token/foo"} {
			if strings.Contains(string(raw), secret) {
				t.Errorf("the line has %q: %s", secret, raw)
			}
		}
	}
	want := []string{
		"olga: create vaults, POST /vault-auth, done, before false after true",
		"olga: create consumers, POST /consumers, done, before false after true",
		"olga: update consumers, PATCH /consumers/{id}, done, before true after true",
		"olga: create credentials, POST /vault-auth/{vault}/credentials/{consumer}, done, before false after true",
		"olga: rotate credentials, POST /vault-auth/{vault}/credentials/token/{access_token}/rotate, done, before true after true",
		"olga: delete credentials, DELETE /vault-auth/{vault}/credentials/token/{access_token}, done, before true after false",
		"olga: delete consumers, DELETE /consumers/{id}, done, before true after false",
		"olga: create vaults, POST /vault-auth, not_made, before false after true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines: want (-), got (+):\n%s", diff)
	}
}

func TestAnUnavailableStoreIs503WithALoggedCause(t *testing.T) {
	t.Parallel()
	down := fmt.Errorf("vault: connection refused: %w", authz.ErrUnavailable)
	for _, tt := range []struct {
		name   string
		breaks func(*bench)
		steps  []step
	}{
		{"the state store", func(b *bench) { b.store.err = down }, []step{
			{method: "GET", path: "/consumers"},
			{method: "GET", path: "/consumers/alice"},
			{method: "POST", path: "/consumers", contentType: typeForm, body: "username=x"},
			{method: "PUT", path: "/consumers/x", contentType: typeJSON, body: "{}"},
			{method: "DELETE", path: "/consumers/alice"},
			{method: "GET", path: credentials},
		}},
		{"writes to it", func(b *bench) { b.store.failWrites = down }, []step{
			{method: "POST", path: "/consumers", contentType: typeForm, body: "username=x"},
			{method: "PATCH", path: "/consumers/alice", contentType: typeForm, body: "custom_id=x"},
			{method: "DELETE", path: "/consumers/alice"},
		}},
		{"the log of changes", func(b *bench) { b.api.deps.Announce = silent{b.order} }, []step{
			{method: "POST", path: "/consumers", contentType: typeForm, body: "username=x"},
			{method: "DELETE", path: "/consumers/alice"},
			{method: "POST", path: credentials + "/alice"},
		}},
		{"the leases", func(b *bench) { b.api.deps.Leases = &fakeLeases{err: down} }, []step{
			{method: "POST", path: credentials + "/alice"},
			{method: "DELETE", path: credentials + "/token/foo"},
			{method: "POST", path: credentials + "/token/foo/rotate"},
			{method: "PATCH", path: credentials + "/token/foo", contentType: typeForm, body: "ttl=5"},
		}},
		{"the credentials", func(b *bench) {
			for _, kv := range b.kv {
				kv.err = errors.New("connection refused") // need not say that it is unavailable
			}
		}, []step{
			{method: "GET", path: credentials},
			{method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo"},
			{method: "GET", path: credentials + "/token/foo"},
			{method: "DELETE", path: credentials + "/token/foo"},
			{method: "POST", path: credentials + "/token/foo/rotate"},
			{method: "GET", path: "/consumers/alice/credentials"},
		}},
		{"a vault object that is not connected yet", func(b *bench) { b.vaultErr = authz.ErrNotFound }, []step{{method: "GET", path: credentials}}},
	} {
		for _, s := range tt.steps {
			b := furnished(t)
			b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
			tt.breaks(b)
			s.name, s.status, s.want = tt.name, 503, []string{`{"message":"The store of this data is unavailable; the call may be repeated`}
			s.run(b)
			if b.log.Len() != 1 {
				t.Errorf("%s: %s %s: got %d log lines, want one with the cause", tt.name, s.method, s.path, b.log.Len())
			}
		}
	}
}

func TestEntityThatIsTooLargeForTheStateIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.store.failWrites = fmt.Errorf("%w: divide it", state.ErrTooLarge)
	b.audit.TakeAll()
	step{method: "POST", path: "/consumers", contentType: typeForm, body: "username=x", status: 413, want: []string{"too large for the state store: divide it"}}.run(b)
	if ended := b.ended(); len(ended) != 1 || ended[0].ContextMap()["outcome"] != outcomeNotMade || b.log.Len() != 0 {
		t.Errorf("got %v in the audit log and %d lines of log, want that nothing was changed", ended, b.log.Len())
	}
}

// silent cannot announce.
type silent struct{ *order }

func (silent) Announce(context.Context, func(context.Context) error, ...state.Change) error {
	return errors.New("no answer")
}

func TestNothingIsWrittenThatCannotBeAnnounced(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	before := len(b.store.all())
	b.api.deps.Announce = silent{b.order}
	b.must(503, b.form("POST", "/consumers", "username=x"))
	b.must(503, b.do("DELETE", "/consumers/alice", "", ""))
	if got := len(b.store.all()); got != before {
		t.Errorf("got %d records, want the %d from before", got, before)
	}
}

// What may have been written counts as written.
func TestAWriteOfUnknownOutcomeIsAppliedAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.store.failWrites, b.store.applied = authz.ErrUnavailable, true
	b.order.events = nil
	b.must(503, b.json("PUT", "/consumers/carol", `{"custom_id":"c"}`))
	if diff := cmp.Diff([]string{"announce consumers", "applied consumers"}, b.order.events); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if got := b.ended()[len(b.ended())-1].ContextMap()["outcome"]; got != "unknown" {
		t.Errorf("outcome: got %v, want unknown", got)
	}
	b.store.failWrites = nil
	b.must(200, b.json("PUT", "/consumers/carol", `{"custom_id":"c"}`))
}

// A change that is made and does not hold on this replica is not answered with
// success, and neither is its repetition.
func TestAChangeThatDoesNotHoldHereYetIsUnavailable(t *testing.T) {
	t.Parallel()
	const nobody = "00000000-0000-4000-8000-0000000000ff"
	for _, tt := range []struct {
		name, method, path, body string
		// ends is the last event; change says that there is something to change.
		ends   string
		change bool
	}{
		{"create", "POST", "/consumers", `{"username":"dora"}`, "applied consumers", true},
		{"change", "PATCH", "/consumers/alice", `{"custom_id":"x"}`, "applied consumers", true},
		{"delete", "DELETE", "/consumers/alice", "", "applied consumers", true},
		{"delete what is gone, by id", "DELETE", "/consumers/" + nobody, "", "applied consumers", false},
		{"delete what is gone, by name", "DELETE", "/consumers/nobody", "", "applied the rest", false},
		{"delete a group that is gone", "DELETE", "/consumers/alice/acls/" + nobody, "", "applied acls", false},
		{"delete a policy that is gone", "DELETE", "/policies/" + nobody, "", "applied policies", false},
		{"delete a plugin that is gone", "DELETE", "/plugins/" + nobody, "", "applied policies", false},
		{"delete a vault object that is gone", "DELETE", "/vault-auth/nobody", "", "applied the rest", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			lines := len(b.ended())
			b.order.applied = errors.New("not read")
			if tt.body == "" {
				b.must(503, b.do(tt.method, tt.path, "", ""))
			} else {
				b.must(503, b.json(tt.method, tt.path, tt.body))
			}
			if got := b.order.events[len(b.order.events)-1]; got != tt.ends {
				t.Errorf("last event = %q, want %q", got, tt.ends)
			}
			if got := len(b.ended()) > lines; got != tt.change {
				t.Errorf("a line in the audit log: %t, want %t", got, tt.change)
			}
			if tt.change && b.ended()[lines].ContextMap()["outcome"] != "done" {
				t.Errorf("audit line %v, want outcome done", b.ended()[lines].ContextMap())
			}
			b.order.applied = nil
			if tt.method == "DELETE" {
				b.must(204, b.do(tt.method, tt.path, "", ""))
			}
		})
	}
}

func TestAnInterruptedDeletionOfAConsumerIsFinishedByRepeatingIt(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", "/consumers/alice/acls", "group=g"))
	// The consumer is gone and its group is not.
	b.store.failWrites, b.store.applied = authz.ErrUnavailable, true
	b.must(503, b.do("DELETE", "/consumers/alice", "", ""))
	b.store.failWrites = nil
	if got := len(b.get("/acls").body["data"].([]any)); got != 1 {
		t.Fatalf("got %d groups after the interruption, want 1", got)
	}
	b.must(204, b.do("DELETE", "/consumers/alice", "", ""))
	step{name: "groups", method: "GET", path: "/acls", status: 200, want: []string{`"data":[]`}}.run(b)
}

func TestAChangeInBetweenIsNotOverwritten(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.store.between = func() { b.must(200, b.form("PATCH", "/consumers/alice", "custom_id=theirs")) }
	b.must(200, b.form("PATCH", "/consumers/alice", "tags=ours"))
	step{name: "both", method: "GET", path: "/consumers/alice", status: 200, want: []string{`"custom_id":"theirs"`, `["ours"]`}}.run(b)
}

func TestAPanicIs500AndSaysNothing(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.store.between = func() { panic("the secret is supersecretvalue") }
	a := b.must(500, b.form("POST", "/consumers", "username=x"))
	if want := `{"message":"An unexpected error occurred"}` + "\n"; a.raw != want {
		t.Errorf("got %q, want %q", a.raw, want)
	}
	if b.log.Len() != 1 {
		t.Fatalf("got %d log lines, want 1", b.log.Len())
	}
	f := b.log.All()[0].ContextMap()
	if strings.Contains(fmt.Sprint(f["error"]), "supersecretvalue") || f["stack"] == "" {
		t.Errorf("got %v, want a stack and not what the panic says", f["error"])
	}
}

func TestAnUnreadableRecordIs500WithALoggedCause(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.store.records["consumers/"+someID] = state.Record{Kind: "consumers", ID: someID, Document: []byte(`"supersecretvalue"`)}
	step{name: "one", method: "GET", path: "/consumers/" + someID, status: 500, want: []string{`{"message":"An unexpected error occurred"}`}}.run(b)
	if b.log.Len() != 1 || strings.Contains(fmt.Sprint(b.log.All()[0].ContextMap()), "supersecretvalue") {
		t.Errorf("got %v, want one line without the document", b.log.All())
	}
}

func TestAChangeIsFinishedEvenIfItsCallerHasGone(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	ctx, cancel := context.WithCancel(t.Context())
	var seen error
	b.api.deps.Announce = watching{b.order, func(ctx context.Context) { cancel(); seen = ctx.Err() }}
	r := httptest.NewRequestWithContext(ctx, "DELETE", "http://localhost/consumers/bob", nil)
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	if w.Code != 204 || seen != nil {
		t.Errorf("got status %d and %v, want 204 and a context that goes on", w.Code, seen)
	}
}

type watching struct {
	*order
	see func(context.Context)
}

func (w watching) Announce(ctx context.Context, commit func(context.Context) error, c ...state.Change) error {
	w.see(ctx)
	return w.order.Announce(ctx, commit, c...)
}
