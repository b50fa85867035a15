package admin

import (
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/kong"
)

// routesOf are those of the list of an absent kind at base, and of all that Kong has below it.
func routesOf(k kong.Absent, base string, list handler) []route {
	below := base + "/{rest...}"
	return []route{
		read(base, list),
		{method: "POST", pattern: base, changes: true, stateless: true, handle: refusing(k)},
		{method: "GET", pattern: below, stateless: true, handle: missing(k)},
		{method: "POST", pattern: below, changes: true, stateless: true, handle: refusing(k)},
		{method: "PUT", pattern: below, changes: true, stateless: true, handle: refusing(k)},
		{method: "PATCH", pattern: below, changes: true, stateless: true, handle: refusing(k)},
		{method: "DELETE", pattern: below, changes: true, stateless: true, handle: deleteNothing},
	}
}

// absentRoutes are the routes of all absent kinds.
func (a *API) absentRoutes() []route {
	var all []route
	for _, k := range kong.AbsentKinds {
		all = append(all, routesOf(k, k.Path, listNothing)...)
	}
	if !a.cfg.Vaults {
		all = append(all, routesOf(kong.AbsentVaults, kong.AbsentVaults.Path, listNothing)...)
	}
	for _, k := range kong.AbsentOfConsumers {
		all = append(all, routesOf(k, "/consumers/{consumer}/"+k.Path, func(c *call) (reply, error) {
			if _, err := a.consumerOf(c); err != nil {
				return reply{}, err
			}
			return listNothing(c)
		})...)
	}
	return all
}

func listNothing(c *call) (reply, error) { return c.pageOf(nil) }

func missing(k kong.Absent) handler {
	return func(*call) (reply, error) { return reply{}, k.Missing() }
}

func refusing(k kong.Absent) handler {
	return func(*call) (reply, error) { return reply{}, k.Refusal() }
}

// deleteNothing answers the deletion of an entity that does not exist, as Kong does.
func deleteNothing(*call) (reply, error) { return noContent, nil }

// notForDecK returns the routes without those of /vaults for decK: /vaults is an alias of
// /vault-auth, but decK uses that path for entities of another kind.
func notForDecK(routes []route) []route {
	for i := range routes {
		ours, theirs := routes[i].handle, missing(kong.AbsentVaults)
		switch {
		case routes[i].method == "GET" && routes[i].pattern == kong.AbsentVaults.Path:
			theirs = listNothing
		case routes[i].method == "DELETE":
			theirs = deleteNothing
		case routes[i].method != "GET":
			theirs = refusing(kong.AbsentVaults)
		}
		routes[i].handle = func(c *call) (reply, error) {
			if fromDecK(c.r) {
				return theirs(c)
			}
			return ours(c)
		}
	}
	return routes
}

// fromDecK reports whether decK makes the call. For decK, /vaults is never /vault-auth:
// it would fail on vault objects, whose prefix has another meaning and is mostly null,
// and would then delete those that its file does not have.
func fromDecK(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "decK/") }
