package admin

import (
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
)

// kong-vault-auth.md section 6: all calls exist under /{workspace} as well.
func TestEveryCallCanNameTheDefaultWorkspace(t *testing.T) {
	t.Parallel()
	apart(t, []step{
		{name: "a list", method: "GET", path: "/default/consumers", status: 200, want: []string{"alice", "bob"}},
		{name: "a slash at the end", method: "GET", path: "/default/consumers/", status: 200, want: []string{"alice"}},
		{name: "an entity", method: "GET", path: "/default/consumers/alice", status: 200, want: []string{`"username":"alice"`}},
		{name: "a name in escapes", method: "GET", path: "/default/consumers/al%69ce", status: 200, want: []string{`"username":"alice"`}},
		{name: "a pair", method: "POST", path: "/default/vault-auth/kong-auth/credentials/alice", status: 201, want: []string{"secret_token"}},
		{name: "the path of 2.x", method: "GET", path: "/default/vaults/kong-auth", status: 200},
		{name: "a change", method: "POST", path: "/default/consumers", contentType: typeForm, body: "username=carol", status: 201},
		{name: "the node", method: "GET", path: "/default", status: 200, want: []string{"vault-auth"}},
		{name: "a query", method: "GET", path: "/default/consumers?tags=gold", status: 200, want: []string{"alice"}, not: []string{"bob"}},
		{name: "what there is none of", method: "GET", path: "/default/nothing", status: 404, want: []string{`"message":"Not found"`}},
		{name: "wrong method", method: "DELETE", path: "/default/consumers", status: 405},
		{name: "the node as Kong Enterprise has it", method: "GET", path: "/default/kong", status: 200, want: []string{`"version":"3.14.0"`}},
		{name: "the workspace itself, as decK asks whether it exists", method: "GET", path: "/default/workspaces/default", status: 200, want: []string{`"name":"default"`, `"id":"`}},
		{name: "the list of workspaces", method: "GET", path: "/workspaces", status: 200, want: []string{`"name":"default"`}},
		{name: "a workspace that there is none of", method: "GET", path: "/workspaces/team-a", status: 404, want: []string{"Workspace 'team-a' not found"}},
		{name: "by its path", method: "GET", path: "/team-a/workspaces/team-a", status: 404, want: []string{"Workspace 'team-a' not found"}},
		{name: "making a workspace", method: "POST", path: "/workspaces", contentType: typeJSON, body: `{"name":"team-a"}`, status: 400, want: []string{"There is one workspace, default"}},
		{name: "replacing a workspace", method: "PUT", path: "/workspaces/default", contentType: typeJSON, body: `{"comment":"ours"}`, status: 400},
		{name: "another workspace", method: "GET", path: "/team-a/consumers", status: 404, want: []string{"Workspace 'team-a' not found; there is one, default"}},
		{name: "a change in another workspace", method: "POST", path: "/team-a/consumers", contentType: typeForm, body: "username=carol", status: 404, want: []string{"Workspace 'team-a' not found"}},
		{name: "by another spelling", method: "GET", path: "/Default/consumers", status: 404, want: []string{"Workspace 'Default' not found"}},
		{name: "twice", method: "GET", path: "/default/default/consumers", status: 404},
		{name: "with dots", method: "GET", path: "/default/../consumers", status: 404},
		{name: "a consumer of that name is none", method: "GET", path: "/consumers/default", status: 404, want: []string{`"message":"Not found"`}},
		{name: "neither a workspace nor a call", method: "GET", path: "/team-a/nothing", status: 404, want: []string{`"message":"Not found"`}},
	})
}

func TestTheWorkspaceIsBehindTheGuard(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for _, path := range []string{"/", "/status", "/default", "/default/consumers", "/team-a/consumers"} {
		b.must(401, b.get(path))
	}
}

func TestANodeSaysWhatScriptsAskFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *Config, d *Dependencies) { d.Version = "1.2.3" })
	a := b.must(200, b.get("/"))
	for _, want := range []string{`"version":"3.14.0"`, `"vault_authz_version":"1.2.3"`, `"tagline":`, `"enabled_in_cluster":["acl","vault-auth"]`, `"available_on_server":{"acl":true,"vault-auth":true}`} {
		if !strings.Contains(a.raw, want) {
			t.Errorf("GET / = %s, want it to have %s", a.raw, want)
		}
	}
	b.must(405, b.json("POST", "/", "{}"))
}

func TestStatusSaysWhetherTheStateCanBeRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if a := b.must(200, b.get("/status")); a.raw != `{"database":{"reachable":true}}`+"\n" {
		t.Errorf("GET /status = %s, want it reachable", a.raw)
	}
	b.store.mu.Lock()
	b.store.err = authz.ErrUnavailable
	b.store.mu.Unlock()
	if a := b.must(200, b.get("/status")); a.raw != `{"database":{"reachable":false}}`+"\n" {
		t.Errorf("GET /status = %s without a store, want it unreachable", a.raw)
	}
}
