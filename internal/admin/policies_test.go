package admin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
)

const tieOfOpenAndStrict = `policies \"open\" and \"strict\" tie: they have host \"api\", path \"/admin\" and priority 0 in common`

func TestPoliciesThatWouldTieAreRefused(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/policies", `{"name":"open","vault":"kong-auth","hosts":["api","x"],"paths":["/","/admin"]}`))
	b.must(201, b.json("POST", "/policies", `{"name":"other","vault":"kong-auth","hosts":["other"]}`))
	records := len(b.store.all())
	const strict = `{"name":"strict","vault":"kong-auth","hosts":["api"],"paths":["/admin"]`
	for _, s := range []step{
		{name: "create", method: "POST", path: "/policies", contentType: typeJSON, body: strict + `}`, status: 409, want: []string{tieOfOpenAndStrict, `"code":5`}},
		{name: "create by its name", method: "PUT", path: "/policies/strict", contentType: typeJSON, body: strict + `}`, status: 409, want: []string{tieOfOpenAndStrict}},
		{name: "change", method: "PATCH", path: "/policies/other", contentType: typeJSON, body: `{"hosts":["api"],"paths":["/"]}`, status: 409, want: []string{`policies \"open\" and \"other\" tie`}},
	} {
		s.run(b)
	}
	if got := len(b.store.all()); got != records {
		t.Errorf("got %d records, want the %d from before", got, records)
	}
	for _, s := range []step{
		{name: "with a priority", method: "POST", path: "/policies", contentType: typeJSON, body: strict + `,"priority":1}`, status: 201, want: []string{`"priority":1`}},
		{name: "the same again", method: "PUT", path: "/policies/strict", contentType: typeJSON, body: strict + `,"priority":1}`, status: 200},
		{name: "without the priority", method: "PATCH", path: "/policies/strict", contentType: typeForm, body: "priority=0", status: 409, want: []string{tieOfOpenAndStrict}},
		{name: "in any case", method: "PATCH", path: "/policies/strict", contentType: typeForm, body: "priority=0&ignore_case=true", status: 200, want: []string{`"ignore_case":true`}},
		{name: "a name that is taken is refused for that", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"open","vault":"kong-auth","hosts":["api"],"paths":["/admin"]}`, status: 409, want: []string{"UNIQUE violation"}},
		{name: "a mistake comes first", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"bad","vault":"kong-auth","hosts":["api"],"paths":["/"],"priority":5000000}`, status: 400, want: []string{"priority"}},
		{name: "ignore_case without paths", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"bad","vault":"kong-auth","ignore_case":true}`, status: 400, want: []string{"ignore_case: it applies to paths only"}},
	} {
		s.run(b)
	}
}

func TestAPolicyThatWouldTieWithADeclaredOneIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *Config, d *Dependencies) { d.Declared = entitiestest.DeclaredSelecting() })
	step{name: "create", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"mine","vault":"fixed","hosts":["api"]}`, status: 409, want: []string{`policies \"fixed\" and \"mine\" tie`}}.run(b)
}

func TestOfTwoPoliciesThatTieAndAreMadeAtOnceOneIsRefused(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	const body = `{"name":"%s","vault":"kong-auth","hosts":["api"],"paths":["/admin"]}`
	b.store.between = func() { b.must(201, b.json("POST", "/policies", fmt.Sprintf(body, "open"))) }
	b.must(409, b.json("POST", "/policies", fmt.Sprintf(body, "strict")))
	if problems := problemsOf(t, b); len(problems) > 0 {
		t.Errorf("got the problems %q, want none", problems)
	}
}

// They may have been made before one of them was declared: what is left must stay
// manageable.
func TestPoliciesThatTieAlreadyCanBeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(b *bench){
		"another priority": func(b *bench) { b.must(200, b.form("PATCH", "/policies/strict", "priority=1")) },
		"deletion":         func(b *bench) { b.must(204, b.do("DELETE", "/policies/open", "", "")) },
		"other hosts":      func(b *bench) { b.must(200, b.form("PATCH", "/policies/open", "hosts=x")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			const body = `{"name":"%s","vault":"kong-auth","hosts":["api"],"paths":["/admin"],"priority":%d}`
			b.must(201, b.json("POST", "/policies", fmt.Sprintf(body, "open", 0)))
			b.must(201, b.json("POST", "/policies", fmt.Sprintf(body, "strict", 7)))
			for key, r := range b.store.records {
				r.Document = bytes.Replace(r.Document, []byte(`"priority":7`), []byte(`"priority":0`), 1)
				b.store.records[key] = r
			}
			if problems := problemsOf(t, b); !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, "requests that they select alike are denied") }) {
				t.Fatalf("got the problems %q, want the tie", problems)
			}
			b.must(200, b.form("PATCH", "/policies/strict", "realm=r"))
			mend(b)
			if problems := problemsOf(t, b); len(problems) > 0 {
				t.Errorf("got the problems %q, want none", problems)
			}
		})
	}
}

func problemsOf(t *testing.T, b *bench) (problems []string) {
	t.Helper()
	state, err := entities.Build(entities.Declared{}, b.store.view())
	if err != nil {
		t.Fatal(err)
	}
	entitiestest.Snapshot(t, state)
	for _, p := range state.Problems {
		problems = append(problems, p.Error())
	}
	return problems
}

func TestAChangeThatLeavesNoDefaultSaysThatRequestsAreDenied(t *testing.T) {
	t.Parallel()
	const want = `299 vault-authz "there is no default policy now: requests that no policy selects are denied"`
	for _, tt := range []struct{ name, method, path, body, want string }{
		{"deletion of the default", "DELETE", "/policies/rest", "", want},
		{"deletion of the default as a plugin", "DELETE", "/plugins/rest", "", want},
		{"a change of the default", "PATCH", "/policies/rest", `{"default":false}`, want},
		{"another document in its place", "PUT", "/policies/rest", `{"vault":"kong-auth"}`, want},
		{"deletion of another one", "DELETE", "/policies/other", "", ""},
		{"another change of the default", "PATCH", "/policies/rest", `{"realm":"r"}`, ""},
		{"deletion of one that is not there", "DELETE", "/policies/nope", "", ""},
		{"a change that is refused", "PATCH", "/policies/rest", `{"default":false,"priority":1}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			b.must(201, b.json("POST", "/policies", `{"name":"rest","vault":"kong-auth","default":true}`))
			b.must(201, b.json("POST", "/policies", `{"name":"other","vault":"kong-auth","shadow":true}`))
			b.log.TakeAll()
			a := b.json(tt.method, tt.path, tt.body)
			if got := a.header.Get("Warning"); got != tt.want {
				t.Errorf("%d with the warning %q, want %q", a.status, got, tt.want)
			}
			logged := b.log.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("no default policy").Len()
			if want := tt.want != ""; (logged == 1) != want {
				t.Errorf("got %d lines in the log, want one: %t", logged, want)
			}
		})
	}
}

// The one that is left may let everything through.
func TestThePolicyThatIsLeftIsNotTheDefault(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/policies", `{"name":"strict","vault":"kong-auth","default":true}`))
	b.must(201, b.json("POST", "/policies", `{"name":"only-by-route","vault":"kong-auth","anonymous":"bob"}`))
	b.must(204, b.do("DELETE", "/policies/strict", "", ""))
	state, err := entities.Build(entities.Declared{}, b.store.view())
	if err != nil || len(state.Policies) != 1 || state.Policies[0].Default {
		t.Fatalf("got %+v, %v, want one policy that is not the default", state.Policies, err)
	}
	s := entitiestest.Snapshot(t, state)
	d := authz.New(s, authz.NewDigester(), authz.DefaultGrammar()).Check(t.Context(), &authz.Request{HTTP: true, Method: "GET", Host: "api", Path: "/admin"})
	if d.Allowed || d.Reason != authz.ReasonNoPolicy {
		t.Errorf("got allowed=%t reason=%s, want a denial for no_policy", d.Allowed, d.Reason)
	}
}
