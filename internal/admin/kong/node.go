package kong

import "github.com/vault-authz/vault-authz/internal/api"

// kongVersion is the version of Kong whose calls, fields and defaults these are.
// Kong's clients go by it: decK writes tags of groups from 1.4 on, and files of the
// format 3.0 from 3.0 on. hide_credentials is true by default since 3.14.
const kongVersion = "3.14.0"

// A Node is what Kong's scripts ask a node about itself.
type Node struct {
	// Version is Kong's, for its clients.
	Version string `json:"version"`
	// VaultAuthz is the version of this build.
	VaultAuthz string      `json:"vault_authz_version"`
	Tagline    string      `json:"tagline"`
	Plugins    NodePlugins `json:"plugins"`
}

// NodePlugins lists the plugins of this service.
type NodePlugins struct {
	Available map[string]bool `json:"available_on_server"`
	Enabled   []string        `json:"enabled_in_cluster"`
}

// NodeOf returns the answer of a node with this build.
func NodeOf(version string) Node {
	return Node{
		Version: kongVersion, VaultAuthz: version, Tagline: "vault-authz: Kong's vault-auth for Envoy",
		Plugins: NodePlugins{map[string]bool{api.PluginVaultAuth: true, api.PluginACL: true}, EnabledPlugins()},
	}
}

// EnabledPlugins are the names of all plugins, each of which is always enabled.
func EnabledPlugins() []string { return []string{api.PluginACL, api.PluginVaultAuth} }

// Status is the part of Kong's status that applies to this service.
type Status struct {
	Database Database `json:"database"`
}

// Database says whether the state can be read.
type Database struct {
	Reachable bool `json:"reachable"`
}
