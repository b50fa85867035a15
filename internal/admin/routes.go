package admin

import "slices"

type handler func(*call) (reply, error)

// A route is one line of the table of calls. Code that serves all routes goes by what
// the line says.
type route struct {
	method, pattern string
	// body says that the call may have a body, of a known type.
	body bool
	// changes says that the call is finished even if its caller has gone.
	changes bool
	// stateless says that the call does not read the state.
	stateless bool
	// apart says that the call cannot be part of a batch.
	apart  bool
	handle handler
}

func read(pattern string, h handler) route { return route{method: "GET", pattern: pattern, handle: h} }

func change(method, pattern string, h handler) route {
	return route{method: method, pattern: pattern, body: method != "DELETE", changes: true, handle: h}
}

func (a *API) routes() []route {
	all := []route{
		{method: "GET", pattern: "/", stateless: true, handle: a.node},
		// What Kong Enterprise has beside it, for callers that may not read "/".
		{method: "GET", pattern: "/kong", stateless: true, handle: a.node},
		{method: "GET", pattern: "/status", stateless: true, handle: a.status},
		{method: "GET", pattern: "/openapi.yaml", stateless: true, handle: a.openAPI},

		{method: "GET", pattern: "/workspaces", stateless: true, handle: a.listWorkspaces},
		{method: "POST", pattern: "/workspaces", changes: true, stateless: true, handle: a.changeWorkspace},
		{method: "GET", pattern: "/workspaces/{workspace}", stateless: true, handle: a.getWorkspace},
		{method: "PUT", pattern: "/workspaces/{workspace}", changes: true, stateless: true, handle: a.changeWorkspace},
		{method: "PATCH", pattern: "/workspaces/{workspace}", changes: true, stateless: true, handle: a.changeWorkspace},
		{method: "DELETE", pattern: "/workspaces/{workspace}", changes: true, stateless: true, handle: a.changeWorkspace},

		{method: "GET", pattern: "/schemas/{entity}", stateless: true, handle: a.schema},
		{method: "GET", pattern: "/schemas/{entity}/{name}", stateless: true, handle: a.schemaOfPlugin},
		{method: "POST", pattern: "/schemas/{entity}/{name}", body: true, changes: true, stateless: true, apart: true, handle: a.validate},

		{method: "GET", pattern: "/overview", stateless: true, handle: a.overview},
		{method: "GET", pattern: "/denials/{request_id}", stateless: true, handle: a.denials},
		{method: "POST", pattern: "/explain", changes: true, stateless: true, apart: true, handle: a.explain},

		read("/tags", a.listTags),
		read("/tags/{tag}", a.listTags),

		{method: "POST", pattern: "/batch", changes: true, stateless: true, apart: true, handle: a.batch},

		read("/consumers/{consumer}/credentials", a.consumerCredentials),

		read("/acls", a.list(a.acls)),
		read("/acls/{id}", forTarget(a.one(a.acls), a.get)),
		read("/acls/{id}/consumer", a.aclConsumer),

		read("/plugins", a.listPlugins),
		change("POST", "/plugins", a.createPlugin),
		{method: "GET", pattern: "/plugins/enabled", stateless: true, handle: a.listEnabledPlugins},
		{method: "GET", pattern: "/plugins/schema/{name}", stateless: true, handle: a.configSchema},
		read("/plugins/{plugin}", a.getPlugin),
		change("PUT", "/plugins/{plugin}", a.putPlugin),
		change("PATCH", "/plugins/{plugin}", a.patchPlugin),
		change("DELETE", "/plugins/{plugin}", a.deletePlugin),
	}
	all = slices.Concat(
		all,
		a.entityRoutes("/consumers", "id", a.listConsumers, a.one(a.consumers), a.deleteConsumer),
		a.entityRoutes("/consumers/{consumer}/acls", "acl", a.listConsumerACLs, a.aclOfConsumer, forTarget(a.aclOfConsumer, a.delete)),
		a.entityRoutes("/policies", "id", a.list(a.policies), a.one(a.policies), forTarget(a.one(a.policies), a.delete)),
		a.vaultRoutes("/vault-auth"), a.absentRoutes(),
	)
	if a.cfg.Vaults {
		all = append(all, notForDecK(a.vaultRoutes("/vaults"))...)
	}
	return all
}

// entityRoutes are the calls for a kind of entity. One of them is named in the path by a
// parameter, which of reads.
func (a *API) entityRoutes(base, parameter string, list handler, of lookup, remove handler) []route {
	one := base + "/{" + parameter + "}"
	return []route{
		read(base, list),
		change("POST", base, forTarget(of, a.create)),
		read(one, forTarget(of, a.get)),
		change("PUT", one, forTarget(of, a.put)),
		change("PATCH", one, forTarget(of, a.patch)),
		change("DELETE", one, remove),
	}
}

func (a *API) vaultRoutes(base string) []route {
	credentials := base + "/{vault}/credentials"
	token := credentials + "/token/{access_token}"
	vaults := a.one(a.vaults)
	return append(
		a.entityRoutes(base, "id", a.list(a.vaults), vaults, forTarget(vaults, a.delete)),
		route{method: "GET", pattern: base + "/{vault}/status", stateless: true, handle: a.vaultStatus},
		read(credentials, a.listCredentials),
		change("POST", credentials, a.createCredential),
		change("POST", credentials+"/{consumer}", a.createCredential),
		read(token, a.getCredential),
		change("PATCH", token, a.patchCredential),
		change("DELETE", token, a.deleteCredential),
		change("POST", token+"/rotate", a.rotateCredential),
		route{method: "POST", pattern: base + "/{vault}/rehash", body: true, changes: true, apart: true, handle: a.rehash},
	)
}
