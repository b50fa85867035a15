package api

// A Plugin is a policy (vault-auth), or the acl, as Kong has it.
type Plugin struct {
	ID           string       `json:"id,omitempty"`
	Name         string       `json:"name"`
	InstanceName *string      `json:"instance_name,omitempty"`
	Config       PluginConfig `json:"config"`
	Enabled      *bool        `json:"enabled,omitempty"`
	Protocols    []string     `json:"protocols,omitempty"`
	// Service, Route and Consumer are always null.
	Service   *Ref     `json:"service,omitempty"`
	Route     *Ref     `json:"route,omitempty"`
	Consumer  *Ref     `json:"consumer,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty"`
	UpdatedAt int64    `json:"updated_at,omitempty"`
}

// A PluginConfig has the fields of vault-auth, or the last three, of acl.
type PluginConfig struct {
	Vault                  *Ref    `json:"vault,omitempty"`
	AccessTokenName        Names   `json:"access_token_name,omitempty"`
	SecretTokenName        Names   `json:"secret_token_name,omitempty"`
	TokensInBody           *bool   `json:"tokens_in_body,omitempty"`
	HideCredentials        *bool   `json:"hide_credentials,omitempty"`
	Anonymous              *string `json:"anonymous,omitempty"`
	RunOnPreflight         *bool   `json:"run_on_preflight,omitempty"`
	BodyCredentialsVisible *bool   `json:"body_credentials_visible,omitempty"`

	Allow            []string `json:"allow,omitempty"`
	Deny             []string `json:"deny,omitempty"`
	HideGroupsHeader *bool    `json:"hide_groups_header,omitempty"`
	// AlwaysUseAuthenticatedGroups and IncludeConsumerGroups are always false.
	AlwaysUseAuthenticatedGroups *bool `json:"always_use_authenticated_groups,omitempty"`
	IncludeConsumerGroups        *bool `json:"include_consumer_groups,omitempty"`
}
