package kong

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// ReadPlugin reads a body under the schema of the plugin that it is about.
func ReadPlugin(in schema.Input, name string, base schema.Document) (schema.Document, error) {
	if given, ok := in.Values["name"].(string); ok && name == "" {
		name = given
	}
	fields := schema.VaultAuth
	switch name {
	case "":
		return nil, schema.Violations{"name": "required field missing"}.Err()
	case api.PluginVaultAuth:
	case api.PluginACL:
		fields = schema.ACLPlugin
	default:
		return nil, schema.Violations{"name": fmt.Sprintf("plugin '%s' not enabled; there are: %s, %s", name, api.PluginVaultAuth, api.PluginACL)}.Err()
	}
	v := schema.Violations{}
	in.Values = withoutForeign(in.Values, in.Form, foreignFields, "", v)
	if config, ok := in.Values["config"].(map[string]any); ok && name == api.PluginACL {
		in.Values["config"] = withoutForeign(config, in.Form, foreignConfig, "config.", v)
	}
	d := schema.Typed(fields, in, base, v)
	if d["name"] != nil && d["name"] != name {
		v.Add("name", "cannot be changed")
	}
	d["name"] = name
	if name == api.PluginVaultAuth {
		CheckPlugin(d, v)
	}
	return d, v.Err()
}

// CheckPlugin refuses what a plugin can do in Kong and cannot do here: the service never
// accepts what it will not do.
func CheckPlugin(d schema.Document, v schema.Violations) {
	for _, scope := range []string{"service", "route", "consumer"} {
		if d[scope] != nil {
			v.Add(scope, "value must be null: services and routes are the gateway's; make a policy with hosts or paths (/policies), or name one in the route's context_extensions")
		}
	}
	if !d.Yes("enabled") {
		v.Add("enabled", "value must be true: delete the plugin to have it no more")
	}
	given := d.List("protocols")
	if slices.ContainsFunc(api.Protocols(), func(p string) bool { return !slices.Contains(given, p) }) {
		v.Add("protocols", "a plugin governs all of grpc, grpcs, http, https")
		return
	}
	d["protocols"] = api.Protocols()
}

// PluginOf shows a policy as a plugin.
func PluginOf(policy schema.Document) schema.Document {
	config := schema.Document{}
	for _, f := range schema.VaultAuthConfig {
		config[f.Name] = policy[f.Name]
	}
	// A plugin without a name makes a policy of this name. Showing it would make decK
	// remove it again at every run.
	name := policy["name"]
	if name == api.PluginVaultAuth {
		name = nil
	}
	return schema.Document{
		"id": policy["id"], "name": api.PluginVaultAuth, "instance_name": name, "config": config,
		"enabled": true, "protocols": api.Protocols(), "tags": policy["tags"],
		"created_at": policy["created_at"], "updated_at": policy["updated_at"],
	}
}

// PolicyOfPlugin returns the policy of a plugin. Options that a plugin does not have stay as
// they are in old; a new policy is the default, as a global plugin is in Kong.
func PolicyOfPlugin(plugin, old schema.Document) schema.Document {
	policy := old
	if old == nil {
		policy = schema.Typed(schema.Policy, schema.Input{Values: map[string]any{"default": true}}, nil, schema.Violations{})
	}
	policy = schema.Merged(policy, schema.Document{
		"id": plugin["id"], "tags": plugin["tags"], "created_at": plugin["created_at"],
		"name": cmp.Or(plugin.Text("instance_name"), policy.Text("name"), api.PluginVaultAuth),
	})
	for _, f := range schema.VaultAuthConfig {
		policy[f.Name] = plugin.Record("config")[f.Name]
	}
	return policy
}

// ShowPlugin shows a policy, or the acl plugin, as answers have it.
func ShowPlugin(d schema.Document) schema.Document {
	if d.Text("plugin") == api.PluginACL {
		return schema.Shown(schema.ACLPlugin, d)
	}
	return schema.Shown(schema.VaultAuth, PluginOf(d))
}

func isOption(name string) bool {
	return slices.ContainsFunc(schema.VaultAuthConfig, func(f api.Field) bool { return f.Name == name })
}

// InConfig moves the violations of a policy's fields to the fields of the plugin.
func InConfig(err error) error {
	p, is := errors.AsType[*api.Problem](err)
	if !is || p.Code != schema.CodeViolation {
		return err
	}
	moved := schema.Violations{}
	for name, problem := range p.Fields {
		switch {
		case isOption(name):
			inner, _ := moved["config"].(schema.Violations)
			if inner == nil {
				inner = schema.Violations{}
				moved["config"] = inner
			}
			inner[name] = problem
		case name == "name":
			moved["instance_name"] = problem
		default:
			moved[name] = problem
		}
	}
	return moved.Err()
}
