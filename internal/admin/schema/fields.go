package schema

import (
	"slices"

	"github.com/vault-authz/vault-authz/internal/api"
)

// The fields of the entities.
var (
	Consumer = api.FieldsOf(api.Consumer{})
	ACL      = api.FieldsOf(api.ACL{})
	Vault    = api.FieldsOf(api.Vault{KV: api.KV1, Secrets: api.SecretsPlain})
	Policy   = api.FieldsOf(api.DefaultPolicy())
)

// The fields of the plugins, as Kong shows them. VaultAuth is a policy; its config has what a
// policy and the plugin share.
var (
	VaultAuthConfig = api.PluginFields(api.PluginVaultAuth)
	VaultAuth       = Plugin(VaultAuthConfig...)
	ACLPluginConfig = api.PluginFields(api.PluginACL)
	ACLPlugin       = Plugin(ACLPluginConfig...)
)

// Plugin is the schema of a plugin with the fields of its config.
func Plugin(config ...api.Field) []api.Field {
	fields := api.FieldsOf(api.Plugin{Enabled: new(true), Protocols: api.Protocols()})
	for i := range fields {
		if fields[i].Name == "config" {
			fields[i].Fields = config
		}
	}
	return fields
}

// What a credential can be created with, what can be changed of it without a new secret, and
// what a rotation and a rehash can be asked for with.
var (
	NewCredential = slices.DeleteFunc(api.FieldsOf(api.Credential{}), func(f api.Field) bool { return f.Answer })
	Limits        = slices.DeleteFunc(api.FieldsOf(api.Credential{}), func(f api.Field) bool { return !f.Limit })
	Rotation      = api.FieldsOf(api.Rotation{Grace: new(int64(api.DefaultGrace))})
	Rehash        = api.FieldsOf(api.Rehash{})
)
