package admin

import (
	"fmt"
	"net/http"
	"strings"
)

// workspace is the only one that there is. Kong Enterprise's calls may name a
// workspace in front of the path, and scripts for it often do.
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

// inWorkspace takes the workspace off the path. A name that a path begins with
// is never a workspace.
func (a *API) inWorkspace(r *http.Request) (*http.Request, error) {
	escaped := r.URL.EscapedPath()
	first := firstSegment(escaped)
	if a.roots[first] {
		return r, nil
	}
	rest := strings.TrimPrefix(escaped, "/"+first)
	switch {
	case first == workspace:
		out := *r
		u := *r.URL
		// A workspace has no escapes, so both forms begin with it.
		u.Path, u.RawPath = strings.TrimPrefix(u.Path, "/"+workspace), rest
		if rest == "" {
			u.Path, u.RawPath = "/", ""
		}
		out.URL = &u
		return &out, nil
	case rest != "" && a.roots[firstSegment(rest)]:
		return r, &Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("Workspace '%s' not found; there is one, %s", firstSegment(r.URL.Path), workspace)}
	}
	return r, nil
}

// elsewhere answers a path that there is none of. What Kong has and the gateway
// has here is named, lest its absence be taken for a mistake in the call.
func elsewhere(path string) *Problem {
	p := notFound()
	switch firstSegment(path) {
	case "services", "routes", "upstreams", "certificates", "snis":
		p.Message = "Not found: services, routes and what belongs to them are the gateway's; make a plugin for all of them (/plugins), or a policy for hosts and paths (/policies)"
	}
	return p
}
