package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

// An absent is a kind of entity that Kong has and this service does not. Its list is
// empty, so that clients that read everything (decK) can go on. A call that would make
// one is refused with a reason: the service never accepts what it will not do.
type absent struct {
	// path is that of the list, entity its name in /schemas.
	path, entity string
	// instead says why the kind is missing and what to do instead.
	instead string
}

const (
	ofTheGateway = "services, routes and what belongs to them are the gateway's; make a plugin for all of them (/plugins), or a policy for hosts and paths (/policies)"
	ofTheVault   = "there are no credentials but token pairs, which are kept in Vault: /vault-auth/{vault}/credentials"
	noGroups     = "there are no consumer groups; use acl groups (/consumers/{consumer}/acls)"
	noKeys       = "there are no keys; credentials are token pairs, kept in Vault"
	noDefinition = "there are the plugins vault-auth and acl, and no others"
	noScope      = "plugins are not for one consumer; make a policy that allows or denies the groups of consumers (/policies)"
	noRBAC       = "who may call is said by admin.tokens and admin.client_names in the configuration file"
	noVaults     = "there are no references to secrets; vault objects are at /vault-auth"
)

// absences are all such kinds that have a list at the top.
var absences = []absent{
	{"/services", "services", ofTheGateway},
	{"/routes", "routes", ofTheGateway},
	{"/upstreams", "upstreams", ofTheGateway},
	{"/certificates", "certificates", ofTheGateway},
	{"/ca_certificates", "ca_certificates", ofTheGateway},
	{"/snis", "snis", ofTheGateway},
	{"/filter-chains", "filter_chains", ofTheGateway},
	{"/consumer_groups", "consumer_groups", noGroups},
	{"/key-auths", "keyauth_credentials", ofTheVault},
	{"/basic-auths", "basicauth_credentials", ofTheVault},
	{"/hmac-auths", "hmacauth_credentials", ofTheVault},
	{"/jwts", "jwt_secrets", ofTheVault},
	{"/oauth2", "oauth2_credentials", ofTheVault},
	{"/mtls-auths", "mtls_auth_credentials", ofTheVault},
	{"/keys", "keys", noKeys},
	{"/key-sets", "key_sets", noKeys},
	{"/partials", "partials", "there are no partials; give each plugin its whole config"},
	{"/cloned-plugins", "cloned_plugins", noDefinition},
	{"/custom-plugins", "custom_plugins", noDefinition},
	{"/licenses", "licenses", "there is no licence, and none is needed"},
	{"/rbac/roles", "rbac_roles", noRBAC},
	{"/rbac/users", "rbac_users", noRBAC},
}

// absentVaults are Kong's Vault entities, where /vaults is not another name of
// /vault-auth.
var absentVaults = absent{"/vaults", "vaults", noVaults}

// These have no list of their own, and a schema that decK asks for.
var (
	absentTargets      = absent{entity: "targets", instead: ofTheGateway}
	absentGroupPlugins = absent{entity: "consumer_group_plugins", instead: noGroups}
)

// absencesOfConsumers are the kinds that a consumer may have in Kong.
var absencesOfConsumers = []absent{
	{"plugins", "plugins", noScope},
	{"consumer_groups", "consumer_groups", noGroups},
	{"key-auth", "keyauth_credentials", ofTheVault},
	{"basic-auth", "basicauth_credentials", ofTheVault},
	{"hmac-auth", "hmacauth_credentials", ofTheVault},
	{"jwt", "jwt_secrets", ofTheVault},
	{"oauth2", "oauth2_credentials", ofTheVault},
	{"mtls-auth", "mtls_auth_credentials", ofTheVault},
}

// routes are those of the list at base and of all that Kong has below it.
func (k absent) routes(base string, list handler) []route {
	below := base + "/{rest...}"
	return []route{
		read(base, list),
		{method: "POST", pattern: base, changes: true, stateless: true, handle: k.refuse},
		{method: "GET", pattern: below, stateless: true, handle: k.missing},
		{method: "POST", pattern: below, changes: true, stateless: true, handle: k.refuse},
		{method: "PUT", pattern: below, changes: true, stateless: true, handle: k.refuse},
		{method: "PATCH", pattern: below, changes: true, stateless: true, handle: k.refuse},
		{method: "DELETE", pattern: below, changes: true, stateless: true, handle: k.nothing},
	}
}

// absentRoutes are the routes of all absent kinds.
func (a *API) absentRoutes() []route {
	var all []route
	for _, k := range absences {
		all = append(all, k.routes(k.path, k.list)...)
	}
	if !a.cfg.Vaults {
		all = append(all, absentVaults.routes(absentVaults.path, absentVaults.list)...)
	}
	for _, k := range absencesOfConsumers {
		all = append(all, k.routes("/consumers/{consumer}/"+k.path, func(c *call) (reply, error) {
			if _, err := a.consumerOf(c); err != nil {
				return reply{}, err
			}
			return k.list(c)
		})...)
	}
	return all
}

func (absent) list(c *call) (reply, error) { return c.pageOf(nil) }

func (k absent) missing(*call) (reply, error) {
	return reply{}, &api.Problem{Status: http.StatusNotFound, Message: "Not found: " + k.instead}
}

func (k absent) refuse(*call) (reply, error) {
	return reply{}, badRequest("There is none of '" + k.entity + "' here, so nothing was made: " + k.instead)
}

// nothing answers the deletion of an entity that does not exist, as Kong does.
func (absent) nothing(*call) (reply, error) { return noContent, nil }

// absentEntity returns the kind of a name in /schemas.
func absentEntity(entity string) (absent, bool) {
	for _, k := range slices.Concat(absences, []absent{absentVaults, absentTargets, absentGroupPlugins}) {
		if k.entity == entity {
			return k, true
		}
	}
	return absent{}, false
}

// notForDecK returns the routes without those of /vaults for decK: /vaults is an alias of
// /vault-auth, but decK uses that path for entities of another kind.
func notForDecK(routes []route) []route {
	for i := range routes {
		ours, theirs := routes[i].handle, absentVaults.missing
		switch {
		case routes[i].method == "GET" && routes[i].pattern == absentVaults.path:
			theirs = absentVaults.list
		case routes[i].method == "DELETE":
			theirs = absentVaults.nothing
		case routes[i].method != "GET":
			theirs = absentVaults.refuse
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
