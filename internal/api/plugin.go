package api

// A Plugin is a policy (vault-auth), or the acl, as Kong has it.
type Plugin struct {
	ID           string       `json:"id,omitempty" rule:"check=uuid"`
	Name         string       `json:"name" rule:"required,oneof=vault-auth|acl"`
	InstanceName *string      `json:"instance_name,omitempty" rule:"check=name"`
	Config       PluginConfig `json:"config"`
	Enabled      *bool        `json:"enabled,omitempty"`
	Protocols    []string     `json:"protocols,omitempty" rule:"check=protocol"`
	// Service, Route and Consumer are always null.
	Service   *Ref     `json:"service,omitempty" rule:"key=name"`
	Route     *Ref     `json:"route,omitempty" rule:"key=name"`
	Consumer  *Ref     `json:"consumer,omitempty" rule:"key=username"`
	Tags      []string `json:"tags,omitempty" rule:"check=tag" flag:"tag: TAG"`
	CreatedAt int64    `json:"created_at,omitempty" rule:"time"`
	UpdatedAt int64    `json:"updated_at,omitempty" rule:"time"`
}

// A PluginConfig is the config of a plugin: the options of a policy whose rule names
// the plugin, and for the acl what follows here.
type PluginConfig struct {
	Allow []string `json:"allow,omitempty" rule:"check=group,plugin=acl" flag:": GROUP that is let in, and no other"`
	Deny  []string `json:"deny,omitempty" rule:"check=group,plugin=acl" flag:": GROUP that is kept out"`
	Policy
	// These two are shown as Kong shows them: decK's files have them.
	AlwaysUseAuthenticatedGroups *bool `json:"always_use_authenticated_groups,omitempty" rule:"nullable,oneof=false,plugin=acl" doc:"switch: always false, as only the groups of consumers count"`
	IncludeConsumerGroups        *bool `json:"include_consumer_groups,omitempty" rule:"nullable,oneof=false,plugin=acl" doc:"switch: always false, as there are no consumer groups"`
}

// The plugins of this service.
const (
	PluginVaultAuth = "vault-auth"
	PluginACL       = "acl"
)

// Protocols are those that a plugin governs, always all of them.
func Protocols() []string { return []string{"grpc", "grpcs", "http", "https"} }
