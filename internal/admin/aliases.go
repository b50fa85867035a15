package admin

import (
	"net/http"

	"github.com/vault-authz/vault-authz/internal/api"
)

// What package api has and the command line still calls by this package.
type (
	// Ref is [api.Ref].
	Ref = api.Ref
	// Consumer is [api.Consumer].
	Consumer = api.Consumer
	// ACL is [api.ACL].
	ACL = api.ACL
	// Vault is [api.Vault].
	Vault = api.Vault
	// Policy is [api.Policy].
	Policy = api.Policy
	// PolicyACL is [api.PolicyACL].
	PolicyACL = api.PolicyACL
	// Plugin is [api.Plugin].
	Plugin = api.Plugin
	// PluginConfig is [api.PluginConfig].
	PluginConfig = api.PluginConfig
	// Credential is [api.Credential].
	Credential = api.Credential
	// Rotation is [api.Rotation].
	Rotation = api.Rotation
	// Problem is [api.Problem].
	Problem = api.Problem
	// Client is [api.Client].
	Client = api.Client
)

// MaxGrace is [api.MaxGrace].
const MaxGrace = api.MaxGrace

// NewClient is [api.NewClient].
func NewClient(base, token string, hc *http.Client) (*api.Client, error) {
	return api.NewClient(base, token, hc)
}
