package api

import "github.com/vault-authz/vault-authz/authz"

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
