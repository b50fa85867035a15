package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// workspace is the name of the only workspace. Calls of Kong Enterprise may have the
// name of a workspace in front of the path, and scripts for it often do.
const workspace = "default"

// roots are the first segments of all paths.
func roots(routes []route) map[string]bool {
	set := map[string]bool{}
	for _, r := range routes {
		set[firstSegment(r.pattern)] = true
	}
	return set
}

func firstSegment(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// inWorkspace removes the workspace from the path. A first segment of the API's own
// paths is never a workspace.
func (a *API) inWorkspace(r *http.Request) (*http.Request, error) {
	escaped := r.URL.EscapedPath()
	first := firstSegment(escaped)
	if a.roots[first] {
		return r, nil
	}
	rest := strings.TrimPrefix(escaped, "/"+first)
	switch {
	case first == workspace && rest == "":
		return withPath(r, "/", ""), nil
	case first == workspace:
		// A workspace has no escapes, so both forms begin with it.
		return withPath(r, strings.TrimPrefix(r.URL.Path, "/"+workspace), rest), nil
	case rest != "" && a.roots[firstSegment(rest)]:
		return r, noWorkspace(firstSegment(r.URL.Path))
	}
	return r, nil
}

// theWorkspace is the only workspace, as Kong shows it.
func theWorkspace() schema.Document {
	return schema.Document{"id": entities.DeclaredID("workspaces", workspace), "name": workspace, "comment": nil, "config": schema.Document{}, "meta": schema.Document{}}
}

func (a *API) listWorkspaces(c *call) (reply, error) {
	return c.pageOf([]schema.Document{theWorkspace()})
}

func (a *API) getWorkspace(c *call) (reply, error) {
	w := theWorkspace()
	if name := c.param("workspace"); name != workspace && name != w.Text("id") {
		return reply{}, noWorkspace(name)
	}
	return ok(w), nil
}

// changeWorkspace refuses calls that would make or change a workspace.
func (a *API) changeWorkspace(*call) (reply, error) {
	return reply{}, badRequest("There is one workspace, " + workspace + ", and there can be no other; run a vault-authz of its own, with a state mount of its own, for each team")
}

func noWorkspace(name string) error {
	return &api.Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("Workspace '%s' not found; there is one, %s", name, workspace)}
}
