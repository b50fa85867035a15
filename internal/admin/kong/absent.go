package kong

import (
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/internal/api"
)

// An Absent is a kind of entity that Kong has and this service does not. Its list is
// empty, so that clients that read everything (decK) can go on. A call that would make
// one is refused with a reason: the service never accepts what it will not do.
type Absent struct {
	// path is that of the list, entity its name in /schemas.
	Path, Entity string
	// instead says why the kind is missing and what to do instead.
	Instead string
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

// AbsentKinds are all such kinds that have a list at the top.
var AbsentKinds = []Absent{
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

// AbsentVaults are Kong's Vault entities, where /vaults is not another name of
// /vault-auth.
var AbsentVaults = Absent{"/vaults", "vaults", noVaults}

// These have no list of their own, and a schema that decK asks for.
var (
	absentTargets      = Absent{Entity: "targets", Instead: ofTheGateway}
	absentGroupPlugins = Absent{Entity: "consumer_group_plugins", Instead: noGroups}
)

// AbsentOfConsumers are the kinds that a consumer may have in Kong.
var AbsentOfConsumers = []Absent{
	{"plugins", "plugins", noScope},
	{"consumer_groups", "consumer_groups", noGroups},
	{"key-auth", "keyauth_credentials", ofTheVault},
	{"basic-auth", "basicauth_credentials", ofTheVault},
	{"hmac-auth", "hmacauth_credentials", ofTheVault},
	{"jwt", "jwt_secrets", ofTheVault},
	{"oauth2", "oauth2_credentials", ofTheVault},
	{"mtls-auth", "mtls_auth_credentials", ofTheVault},
}

// Missing is the answer to a call for one entity of the kind.
func (k Absent) Missing() *api.Problem {
	return &api.Problem{Status: http.StatusNotFound, Message: "Not found: " + k.Instead}
}

// Refusal is the answer to a call that would make one.
func (k Absent) Refusal() *api.Problem {
	return &api.Problem{Status: http.StatusBadRequest, Message: "There is none of '" + k.Entity + "' here, so nothing was made: " + k.Instead}
}

// AbsentKind returns the kind of a name in /schemas.
func AbsentKind(entity string) (Absent, bool) {
	for _, k := range slices.Concat(AbsentKinds, []Absent{AbsentVaults, absentTargets, absentGroupPlugins}) {
		if k.Entity == entity {
			return k, true
		}
	}
	return Absent{}, false
}
