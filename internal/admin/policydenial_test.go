package admin

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
	"github.com/vault-authz/vault-authz/internal/state"
)

// denialsOf returns what the decision has of the denials of a policy.
func denialsOf(t *testing.T, b *bench, name string) authz.DenialOptions {
	t.Helper()
	state, err := entities.Build(entities.Declared{}, b.store.view())
	if err != nil {
		t.Fatal(err)
	}
	entitiestest.Snapshot(t, state)
	i := slices.IndexFunc(state.Policies, func(p authz.Policy) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no policy %q", name)
	}
	return state.Policies[i].Denial
}

func TestTheDenialsOfAPolicyAreChangedAsAnyOtherOption(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	made := authz.DenialOptions{
		Unauthenticated: authz.DenialAnswer{Status: 404, Message: "No such page"},
		Body:            authz.DenialBody{JSON: `{"id":"{{request_id}}"}`, JSONType: "application/problem+json", Text: "{{message}}\n"},
	}
	hidden := made
	hidden.Forbidden.Status = 404
	withoutText := hidden
	withoutText.Body.Text = ""
	anonymous := authz.DenialOptions{Unavailable: authz.DenialAnswer{Status: 429}}
	for _, s := range []struct {
		step
		want authz.DenialOptions
	}{
		{step{
			name: "create", method: "POST", path: "/policies", contentType: typeJSON, status: 201,
			body: `{"name":"p","vault":"kong-auth","denial":{"unauthenticated":{"status":404,"message":"No such page"},` +
				`"body":{"json":"{\"id\":\"{{request_id}}\"}","json_type":"application/problem+json","text":"{{message}}\n"}}}`,
			want: []string{`"denial":{"body":{"html":null,"json":"{\"id\":\"{{request_id}}\"}"`, `"unavailable":{"message":null,"status":null}`},
		}, made},
		{step{name: "another option", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"realm":"shop"}`, status: 200}, made},
		{step{name: "one class", method: "PATCH", path: "/policies/p", contentType: typeForm, body: "denial.forbidden.status=404", status: 200}, hidden},
		{step{name: "as a plugin, which does not have the option", method: "PATCH", path: "/plugins/p", contentType: typeForm, body: "config.hide_credentials=false", status: 200}, hidden},
		{step{name: "one template is unset", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":{"body":{"text":null}}}`, status: 200}, withoutText},
		{step{name: "all is unset", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":null}`, status: 200}, authz.DenialOptions{}},
		{step{name: "replaced", method: "PUT", path: "/policies/p", contentType: typeJSON, body: `{"vault":"kong-auth","denial":{"unavailable":{"status":429}}}`, status: 200}, anonymous},
		{step{name: "replaced without", method: "PUT", path: "/policies/p", contentType: typeJSON, body: `{"vault":"kong-auth"}`, status: 200}, authz.DenialOptions{}},
	} {
		s.run(b)
		if diff := cmp.Diff(s.want, denialsOf(t, b, "p")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

func TestWrongDenialsOfAPolicyAreRefusedWithWhatToWriteInstead(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/policies", `{"name":"p","vault":"kong-auth"}`))
	for _, s := range []step{
		{name: "a field that does not exist", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":{"body":{"html":"{{reason}}"}}}`, status: 400, want: []string{`denial.body.html: there is no field \"reason\"; write one of {{class}}`}},
		{name: "two mistakes", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":{"body":{"json":"{{","text":"{{x}}"}}}`, status: 400, want: []string{"2 schema violations", "denial.body.json: ", "denial.body.text: "}},
		{name: "a success", method: "POST", path: "/policies", contentType: typeForm, body: "name=q&vault.name=kong-auth&denial.unauthenticated.status=200", status: 400, want: []string{"denial.unauthenticated.status: expected one of: 401, 403, 404"}},
		{name: "a status that is not ours", method: "POST", path: "/policies", contentType: typeForm, body: "name=q&vault.name=kong-auth&denial.unauthenticated.status=402", status: 400, want: []string{"denial.unauthenticated.status: expected one of: 401, 403, 404"}},
		{name: "a class that does not exist", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":{"expired":{"status":404}}}`, status: 400, want: []string{"denial.expired: unknown field"}},
		{name: "a part that is no record", method: "PATCH", path: "/policies/p", contentType: typeJSON, body: `{"denial":{"body":"text"}}`, status: 400, want: []string{"denial.body: expected a record"}},
	} {
		s.run(b)
	}
	many := b.json("POST", "/batch", `{"operations":[{"method":"PUT","path":"/policies/q","body":{"vault":"kong-auth","denial":{"docs":"/docs"}}}]}`).outcomes(t)
	if len(many) != 1 || !strings.HasPrefix(many[0], `400 schema violation (denial.docs: "/docs" is not a URL`) {
		t.Errorf("many at once: got %q", many)
	}
	if got := denialsOf(t, b, "p"); got != (authz.DenialOptions{}) {
		t.Errorf("got %+v", got)
	}
}

// A later version may know other fields. What a client is told must not keep changes of what is
// decided from this replica.
func TestDenialsThatThisVersionCannotUseDoNotHoldUpThePolicy(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/policies", `{"name":"p","vault":"kong-auth","acl":{"allow":["staff"]},"denial":{"body":{"text":"{{message}}"}}}`))
	rewrite := func(old, replacement string) {
		t.Helper()
		for key, r := range b.store.records {
			r.Document = bytes.Replace(r.Document, []byte(old), []byte(replacement), 1)
			b.store.records[key] = r
		}
	}
	rewrite(`"text":"{{message}}"`, `"text":"{{message}}","later":"x"`)
	b.must(200, b.form("PATCH", "/policies/p", "denial.forbidden.status=404"))
	if !slices.ContainsFunc(slices.Collect(maps.Values(b.store.records)), func(r state.Record) bool { return bytes.Contains(r.Document, []byte(`"later":"x"`)) }) {
		t.Error("a change loses what only a later version knows")
	}
	rewrite(`{{message}}`, `{{language}}`)
	if got := denialsOf(t, b, "p"); got != (authz.DenialOptions{}) {
		t.Errorf("got %+v, want the usual denials", got)
	}
	if problems := problemsOf(t, b); !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, `there is no field "language"`) }) {
		t.Errorf("got the problems %q", problems)
	}
	rewrite(`"on_error":"deny"`, `"on_error":"later"`)
	if _, err := entities.Build(entities.Declared{}, b.store.view()); err == nil || !strings.Contains(err.Error(), "on_error") {
		t.Errorf("what decides must be valid: got %v", err)
	}
}
