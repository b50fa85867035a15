package admin

import "github.com/vault-authz/vault-authz/authz"

// The types of the API as Go has them. A nil pointer, a nil list and the zero id
// and time are left out of requests; in answers they are what is not set.

// Ref refers to an entity by its id.
type Ref struct {
	ID string `json:"id"`
}

// A Consumer is who credentials belong to. One of Username and CustomID must be
// set.
type Consumer struct {
	ID        string   `json:"id,omitempty"`
	Username  *string  `json:"username,omitempty"`
	CustomID  *string  `json:"custom_id,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty"`
	UpdatedAt int64    `json:"updated_at,omitempty"`
}

// An ACL is the membership of a consumer in a group.
type ACL struct {
	ID        string   `json:"id,omitempty"`
	Consumer  *Ref     `json:"consumer,omitempty"`
	Group     string   `json:"group"`
	Tags      []string `json:"tags,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty"`
}

// A Vault is a vault object. Answers have a mask for its token.
type Vault struct {
	ID         string  `json:"id,omitempty"`
	Name       string  `json:"name"`
	Protocol   string  `json:"protocol"`
	Host       string  `json:"host"`
	Port       int     `json:"port"`
	Mount      string  `json:"mount"`
	Prefix     *string `json:"prefix,omitempty"`
	VaultToken string  `json:"vault_token,omitempty"`
	KV         string  `json:"kv,omitempty"`
	Namespace  *string `json:"namespace,omitempty"`
	CreatedAt  int64   `json:"created_at,omitempty"`
	UpdatedAt  int64   `json:"updated_at,omitempty"`
}

// A Policy says which requests it governs and how they are authenticated.
type Policy struct {
	ID                       string     `json:"id,omitempty"`
	Name                     string     `json:"name"`
	Default                  *bool      `json:"default,omitempty"`
	Hosts                    []string   `json:"hosts,omitempty"`
	Paths                    []string   `json:"paths,omitempty"`
	IgnoreCase               *bool      `json:"ignore_case,omitempty"`
	Priority                 *int       `json:"priority,omitempty"`
	Vault                    *Ref       `json:"vault,omitempty"`
	AccessTokenName          Names      `json:"access_token_name,omitempty"`
	SecretTokenName          Names      `json:"secret_token_name,omitempty"`
	AuthorizationScheme      *string    `json:"authorization_scheme,omitempty"`
	TokensInBody             *bool      `json:"tokens_in_body,omitempty"`
	BodyCredentialsVisible   *bool      `json:"body_credentials_visible,omitempty"`
	HideCredentials          *bool      `json:"hide_credentials,omitempty"`
	HideCredentialIdentifier *bool      `json:"hide_credential_identifier,omitempty"`
	Anonymous                *string    `json:"anonymous,omitempty"`
	RunOnPreflight           *bool      `json:"run_on_preflight,omitempty"`
	Preflight                string     `json:"preflight,omitempty"`
	ACL                      *PolicyACL `json:"acl,omitempty"`
	HideGroupsHeader         *bool      `json:"hide_groups_header,omitempty"`
	Shadow                   *bool      `json:"shadow,omitempty"`
	Realm                    *string    `json:"realm,omitempty"`
	OnError                  string     `json:"on_error,omitempty"`
	Tags                     []string   `json:"tags,omitempty"`
	CreatedAt                int64      `json:"created_at,omitempty"`
	UpdatedAt                int64      `json:"updated_at,omitempty"`
}

// Selection is what a policy selects requests by, in the core's words.
func (p *Policy) Selection() *authz.Policy {
	of := &authz.Policy{ID: p.ID, Name: p.Name, Hosts: p.Hosts, Paths: p.Paths}
	if p.IgnoreCase != nil {
		of.IgnoreCase = *p.IgnoreCase
	}
	if p.Priority != nil {
		of.Priority = *p.Priority
	}
	if p.Default != nil {
		of.Default = *p.Default
	}
	return of
}

// A PolicyACL has one of the two lists at the most.
type PolicyACL struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

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

// A Credential is a token pair. SecretToken is in the answer to a creation or
// rotation only. Times are Unix seconds.
type Credential struct {
	AccessToken string `json:"access_token,omitempty"`
	SecretToken string `json:"secret_token,omitempty"`
	Consumer    *Ref   `json:"consumer,omitempty"`
	// TTL is how many seconds the record may be used before it is read again.
	TTL               *int64 `json:"ttl,omitempty"`
	NotBefore         *int64 `json:"not_before,omitempty"`
	ExpiresAt         *int64 `json:"expires_at,omitempty"`
	Disabled          bool   `json:"disabled,omitempty"`
	PreviousExpiresAt *int64 `json:"previous_expires_at,omitempty"`
	// State is "good", or the reason that a check has not to let it in. RefusedBy are
	// the policies whose acl refuses it, where others let it in.
	State     string   `json:"state,omitempty"`
	RefusedBy []string `json:"refused_by,omitempty"`
	CreatedAt *int64   `json:"created_at,omitempty"`
	UpdatedAt *int64   `json:"updated_at,omitempty"`
	// Vault is set in the list of a consumer's credentials.
	Vault *VaultRef `json:"vault,omitempty"`
}

// A VaultRef names a vault object.
type VaultRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A Rotation says how a secret is replaced.
type Rotation struct {
	// Grace is for how many seconds the old secret stays good, nil for an hour.
	Grace *int64 `json:"grace,omitempty"`
	// SecretToken is the new secret, "" for a random one. With one of the
	// caller's, a rotation can be repeated without harm.
	SecretToken string `json:"secret_token,omitempty"`
	// Force ends the grace of the rotation before, if it is not over.
	Force bool `json:"force,omitempty"`
}
