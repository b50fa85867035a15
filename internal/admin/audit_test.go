package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

// auditBench is a bench whose audit log shares its order of events with everything else.
func auditBench(t *testing.T, options ...option) *bench {
	t.Helper()
	b := newBench(t, options...)
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=supersecretvalue"))
	b.order.events = nil
	b.auditor.order = b.order
	b.audit.TakeAll()
	return b
}

// changes are calls that change something of an auditBench, and none prevents another.
func changes() []step {
	return []step{
		{name: "create a consumer", method: "POST", path: "/consumers", body: "username=bob", status: 201},
		{name: "change a consumer", method: "PATCH", path: "/consumers/alice", body: "custom_id=c", status: 200},
		{name: "create by PUT", method: "PUT", path: "/consumers/carol", body: "custom_id=d", status: 200},
		{name: "give a group", method: "POST", path: "/consumers/alice/acls", body: "group=gold", status: 201},
		{name: "make a policy", method: "POST", path: "/policies", body: "name=p&vault=kong-auth", status: 201},
		{name: "make a plugin", method: "POST", path: "/plugins", body: "name=vault-auth&config.vault.name=kong-auth", status: 201},
		{name: "create a credential", method: "POST", path: credentials + "/alice", body: "access_token=bar", status: 201},
		{name: "rotate a credential", method: "POST", path: credentials + "/token/foo/rotate", status: 201},
		{name: "disable a credential", method: "PATCH", path: credentials + "/token/foo", body: "disabled=true", status: 200},
		{name: "delete a credential", method: "DELETE", path: credentials + "/token/foo", status: 204},
		{name: "delete a consumer", method: "DELETE", path: "/consumers/alice", status: 204},
	}
}

func (b *bench) change(s step) answer {
	b.Helper()
	if s.body == "" {
		return b.do(s.method, s.path, "", "")
	}
	return b.form(s.method, s.path, s.body)
}

func TestWhatAChangeIsAboutToDoIsInTheAuditLogBeforeItIsDone(t *testing.T) {
	t.Parallel()
	for _, s := range changes() {
		b := auditBench(t)
		b.must(s.status, b.change(s))
		if len(b.order.events) < 2 || b.order.events[0] != "intended" || slices.Contains(b.order.events[1:], "intended") != (strings.Count(strings.Join(b.order.events, " "), "announce") > 1) {
			t.Errorf("%s: got %v, want the intent before each change", s.name, b.order.events)
		}
		lines := b.audit.All()
		first, last := lines[0].ContextMap(), lines[1].ContextMap()
		if first["outcome"] != outcomeIntended || last["outcome"] != outcomeDone || first["change_id"] == "" || first["change_id"] != last["change_id"] {
			t.Errorf("%s: got %v and %v, want what is intended and that it is done, of one change", s.name, first, last)
		}
	}
}

func TestAChangeWhoseIntentCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range changes() {
		b := auditBench(t)
		records, documents := fmt.Sprint(b.store.records), fmt.Sprint(b.documents())
		b.auditor.fail = func(string) bool { return true }
		a := b.must(503, b.change(s))
		if !strings.Contains(a.raw, "Nothing was changed: the audit log cannot be written (no space left on device)") {
			t.Errorf("%s: got %s", s.name, a.raw)
		}
		if len(b.order.events) > 0 || fmt.Sprint(b.store.records) != records || fmt.Sprint(b.documents()) != documents {
			t.Errorf("%s: something was done: %v", s.name, b.order.events)
		}
		if b.log.FilterMessage("the audit log cannot be written").Len() != 1 {
			t.Errorf("%s: the log does not say so", s.name)
		}
		b.auditor.fail = nil
		b.must(s.status, b.change(s))
	}
}

// documents are all credentials.
func (b *bench) documents() map[string]string {
	all := map[string]string{}
	for vault, kv := range b.kv {
		for key, raw := range kv.documents {
			all[vault+"/"+key] = string(raw)
		}
	}
	return all
}

func TestAChangeThatIsNotInTheAuditLogIsToldWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	const intent = `299 vault-authz "the audit log cannot be written, so this change may not be in it"`
	const end = `299 vault-authz "the audit log cannot be written, so how this change came out is not in it"`
	warn := func(_ *Config, d *Dependencies) { d.AuditFailure = AuditFailureWarn }
	for _, test := range []struct {
		name   string
		option option
		fail   func(outcome string) bool
		want   []string
	}{
		{"nothing can be written", warn, func(string) bool { return true }, []string{intent, end}},
		{"the intent cannot", warn, func(outcome string) bool { return outcome == outcomeIntended }, []string{intent}},
		{"the end cannot", warn, func(outcome string) bool { return outcome != outcomeIntended }, []string{end}},
		// It is made by then, so there is nothing left to refuse.
		{"the end cannot, and changes are refused", func(*Config, *Dependencies) {}, func(outcome string) bool { return outcome != outcomeIntended }, []string{end}},
		{"all can", warn, nil, nil},
	} {
		for _, s := range changes() {
			b := auditBench(t, test.option)
			b.auditor.fail = test.fail
			a := b.must(s.status, b.change(s))
			if diff := cmp.Diff(test.want, a.header.Values("Warning")); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", test.name, s.name, diff)
			}
		}
		b := auditBench(t, test.option)
		b.auditor.fail = test.fail
		a := b.must(200, b.json("POST", "/batch", `{"operations":[{"method":"POST","path":"/consumers","body":{"username":"bob"}},{"method":"POST","path":"/consumers","body":{"username":"carol"}}]}`))
		if diff := cmp.Diff(test.want, a.header.Values("Warning")); diff != "" {
			t.Errorf("%s: a batch (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTheAuditLogSaysHowAChangeCameOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fail   func(b *bench)
		status int
		want   string
	}{
		{"made", func(*bench) {}, 201, outcomeDone},
		{"refused by the store", func(b *bench) { b.store.failWrites = state.ErrConflict }, 400, outcomeNotMade},
		{"perhaps made", func(b *bench) { b.store.failWrites = authz.ErrUnavailable }, 503, outcomeUnknown},
		{"not announced", func(b *bench) { b.order.refuse = errors.New("no room") }, 503, outcomeNotMade},
	} {
		b := auditBench(t)
		test.fail(b)
		b.must(test.status, b.form("POST", "/consumers", "username=bob"))
		ended := b.ended()
		if got := ended[len(ended)-1].ContextMap()["outcome"]; got != test.want {
			t.Errorf("%s: got %v, want %s", test.name, got, test.want)
		}
	}
}

func TestTheIdsOfACallAreInItsLines(t *testing.T) {
	t.Parallel()
	b := auditBench(t)
	b.headers[headerRequestID] = strings.Repeat("r", 300)
	b.headers[headerTraceParent] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	b.must(201, b.form("POST", "/consumers", "username=bob"))
	b.must(200, b.json("POST", "/batch", `{"operations":[{"method":"POST","path":"/consumers","body":{"username":"carol"}}]}`))
	b.headers[headerTraceParent] = "nonsense"
	delete(b.headers, headerRequestID)
	b.must(201, b.form("POST", "/consumers", "username=dora"))
	lines := b.audit.All()
	for i, line := range lines {
		m := line.ContextMap()
		wantTrace, wantID := any("4bf92f3577b34da6a3ce929d0e0e4736"), any(strings.Repeat("r", 256))
		if i >= len(lines)-2 {
			wantTrace, wantID = nil, nil
		}
		if m["trace_id"] != wantTrace || m["request_id"] != wantID {
			t.Errorf("line %d: got %v", i, m)
		}
	}
	if len(lines) != 6 {
		t.Errorf("got %d lines, want two of each change", len(lines))
	}
}
