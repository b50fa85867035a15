package main

import (
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// registry tells Vault's plugin catalogue about the few backends linked in.
// Vault's own registry would link every backend there is.
type registry struct{}

func backends(t consts.PluginType) map[string]logical.Factory {
	switch t {
	case consts.PluginTypeSecrets:
		return logicalBackends()
	case consts.PluginTypeCredential:
		return credentialBackends()
	default:
		return nil
	}
}

func (registry) Contains(name string, t consts.PluginType) bool {
	_, ok := backends(t)[name]
	return ok
}

func (registry) Get(name string, t consts.PluginType) (func() (any, error), bool) {
	f, ok := backends(t)[name]
	return func() (any, error) { return f, nil }, ok
}

func (registry) Keys(t consts.PluginType) []string {
	return slices.Sorted(maps.Keys(backends(t)))
}

func (registry) DeprecationStatus(name string, t consts.PluginType) (consts.DeprecationStatus, bool) {
	_, ok := backends(t)[name]
	return consts.Supported, ok
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
