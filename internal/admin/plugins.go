package admin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// pluginFields is the schema of a plugin with the fields of its config.
func pluginFields(config ...api.Field) []api.Field {
	fields := api.FieldsOf(api.Plugin{Enabled: new(true), Protocols: api.Protocols()})
	for i := range fields {
		if fields[i].Name == "config" {
			fields[i].Fields = config
		}
	}
	return fields
}

var (
	// vaultAuthConfig are the fields that a policy and the plugin's config share.
	vaultAuthConfig = api.PluginFields(api.PluginVaultAuth)
	// vaultAuthFields is a policy as Kong shows it.
	vaultAuthFields = pluginFields(vaultAuthConfig...)
	aclPluginConfig = api.PluginFields(api.PluginACL)
	// aclPluginFields is the acl plugin.
	aclPluginFields = pluginFields(aclPluginConfig...)
)

func inConfig(name string) bool {
	return slices.ContainsFunc(vaultAuthConfig, func(f api.Field) bool { return f.Name == name })
}

// aclPlugins is the acl plugin. At most one exists, and it is global: it applies to
// policies without an acl of their own.
func aclPluginsEntity() *entity {
	return &entity{
		kind: state.KindPolicies, name: "plugins",
		fields: aclPluginFields,
		owns:   func(d document) bool { return d.text("plugin") == api.PluginACL },
		unique: func(document) []constraint {
			return []constraint{{key: "plugin=" + api.PluginACL, fields: map[string]any{"name": api.PluginACL, "service": nil, "route": nil, "consumer": nil}}}
		},
		check: func(_ *API, d, _ document, v violations) error {
			checkPlugin(d, v)
			config := d.record("config")
			if (len(config.list("allow")) == 0) == (len(config.list("deny")) == 0) {
				v.add("config."+entityField, "exactly one of these fields must be non-empty: 'allow', 'deny'")
			}
			d["plugin"] = api.PluginACL
			return nil
		},
	}
}

// checkPlugin refuses what a plugin can do in Kong and cannot do here: the service never
// accepts what it will not do.
func checkPlugin(d document, v violations) {
	for _, scope := range []string{"service", "route", "consumer"} {
		if d[scope] != nil {
			v.add(scope, "value must be null: services and routes are the gateway's; make a policy with hosts or paths (/policies), or name one in the route's context_extensions")
		}
	}
	if !d.yes("enabled") {
		v.add("enabled", "value must be true: delete the plugin to have it no more")
	}
	given := d.list("protocols")
	if slices.ContainsFunc(api.Protocols(), func(p string) bool { return !slices.Contains(given, p) }) {
		v.add("protocols", "a plugin governs all of grpc, grpcs, http, https")
		return
	}
	d["protocols"] = api.Protocols()
}

// pluginOf shows a policy as a plugin.
func pluginOf(policy document) document {
	config := document{}
	for _, f := range vaultAuthConfig {
		config[f.Name] = policy[f.Name]
	}
	// A plugin without a name makes a policy of this name. Showing it would make decK
	// remove it again at every run.
	name := policy["name"]
	if name == api.PluginVaultAuth {
		name = nil
	}
	return document{
		"id": policy["id"], "name": api.PluginVaultAuth, "instance_name": name, "config": config,
		"enabled": true, "protocols": api.Protocols(), "tags": policy["tags"],
		"created_at": policy["created_at"], "updated_at": policy["updated_at"],
	}
}

// policyFrom returns the policy of a plugin. Options that a plugin does not have stay as
// they are in old; a new policy is the default, as a global plugin is in Kong.
func policyFrom(plugin, old document) document {
	policy := old
	if old == nil {
		policy = typed(policyFields, map[string]any{"default": true}, false, nil, violations{}, "")
	}
	policy = merged(policy, document{
		"id": plugin["id"], "tags": plugin["tags"], "created_at": plugin["created_at"],
		"name": cmp.Or(plugin.text("instance_name"), policy.text("name"), api.PluginVaultAuth),
	})
	for _, f := range vaultAuthConfig {
		policy[f.Name] = plugin.record("config")[f.Name]
	}
	return policy
}

// asConfig moves the violations of a policy's fields to the fields of the plugin.
func asConfig(err error) error {
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != codeSchema {
		return err
	}
	moved := violations{}
	for name, problem := range p.Fields {
		switch {
		case inConfig(name):
			inner, _ := moved["config"].(violations)
			if inner == nil {
				inner = violations{}
				moved["config"] = inner
			}
			inner[name] = problem
		case name == "name":
			moved["instance_name"] = problem
		default:
			moved[name] = problem
		}
	}
	return moved.err()
}

// pluginInput reads a body under the schema of the plugin that it is about.
func pluginInput(in input, name string, base document) (document, error) {
	if given, ok := in.values["name"].(string); ok && name == "" {
		name = given
	}
	fields := vaultAuthFields
	switch name {
	case "":
		return nil, violations{"name": "required field missing"}.err()
	case api.PluginVaultAuth:
	case api.PluginACL:
		fields = aclPluginFields
	default:
		return nil, violations{"name": fmt.Sprintf("plugin '%s' not enabled; there are: %s, %s", name, api.PluginVaultAuth, api.PluginACL)}.err()
	}
	v := violations{}
	values := withoutForeign(in.values, in.form, foreignFields, "", v)
	if config, ok := values["config"].(map[string]any); ok && name == api.PluginACL {
		values["config"] = withoutForeign(config, in.form, foreignConfig, "config.", v)
	}
	d := typed(fields, values, in.form, base, v, "")
	if d["name"] != nil && d["name"] != name {
		v.add("name", "cannot be changed")
	}
	d["name"] = name
	if name == api.PluginVaultAuth {
		checkPlugin(d, v)
	}
	return d, v.err()
}

func (a *API) createPlugin(c *call) (reply, error) {
	d, err := pluginInput(c.input, "", nil)
	if err != nil {
		return reply{}, err
	}
	return a.insertPlugin(c, d, 201)
}

func (a *API) insertPlugin(c *call, d document, status int) (reply, error) {
	if d.text("name") == api.PluginACL {
		d, err := a.insert(c, a.aclPlugins, d)
		return reply{status, shown(aclPluginFields, d)}, err
	}
	policy, err := a.insert(c, a.policies, policyFrom(d, nil))
	return reply{status, shown(vaultAuthFields, pluginOf(policy))}, asConfig(err)
}

// findPlugin finds either plugin by id, and a policy by its name.
func (a *API) findPlugin(idOrName string) (e *entity, s stored, err error) {
	for _, e := range []*entity{a.policies, a.aclPlugins} {
		if s, err = a.find(e, idOrName); !errors.Is(err, authz.ErrNotFound) {
			return e, s, err
		}
	}
	return nil, stored{}, err
}

func showPlugin(d document) document {
	if d.text("plugin") == api.PluginACL {
		return shown(aclPluginFields, d)
	}
	return shown(vaultAuthFields, pluginOf(d))
}

func (a *API) getPlugin(c *call) (reply, error) {
	_, s, err := a.findPlugin(c.param("plugin"))
	if err != nil {
		return reply{}, err
	}
	return ok(showPlugin(s.document)), nil
}

func (a *API) listPlugins(c *call) (reply, error) {
	var items []document
	for _, e := range []*entity{a.policies, a.aclPlugins} {
		all, err := a.all(e)
		if err != nil {
			return reply{}, err
		}
		for _, s := range all {
			items = append(items, showPlugin(s.document))
		}
	}
	slices.SortFunc(items, func(x, y document) int { return cmp.Compare(x.text("id"), y.text("id")) })
	return c.pageOf(items)
}

func (a *API) listEnabledPlugins(*call) (reply, error) {
	return ok(document{"enabled_plugins": enabledPlugins()}), nil
}

func (a *API) patchPlugin(c *call) (reply, error) { return a.changePlugin(c, true) }

// putPlugin replaces the options of a plugin. Those that only the policy has, such as
// hosts and paths, stay.
func (a *API) putPlugin(c *call) (reply, error) {
	_, _, err := a.findPlugin(c.param("plugin"))
	if !errors.Is(err, authz.ErrNotFound) {
		return a.changePlugin(c, false)
	}
	d, err := pluginInput(c.input, "", nil)
	if err != nil {
		return reply{}, err
	}
	if err := named(d, c.param("plugin"), "instance_name"); err != nil {
		return reply{}, err
	}
	return a.insertPlugin(c, d, 200)
}

func (a *API) changePlugin(c *call, partly bool) (reply, error) {
	e, _, err := a.findPlugin(c.param("plugin"))
	if err != nil {
		return reply{}, err
	}
	find := func() (stored, error) { return a.find(e, c.param("plugin")) }
	d, err := a.update(c, e, find, func(old document) (document, error) {
		name, current := api.PluginACL, old
		if e == a.policies {
			name, current = api.PluginVaultAuth, pluginOf(old)
		}
		var base document
		if partly {
			base = current
		}
		d, err := pluginInput(c.input, name, base)
		if err != nil || e == a.aclPlugins {
			return d, err
		}
		return policyFrom(d, old), nil
	})
	if err != nil {
		return reply{}, asConfig(err)
	}
	return ok(showPlugin(d)), nil
}

func (a *API) deletePlugin(c *call) (reply, error) {
	e, _, err := a.findPlugin(c.param("plugin"))
	if errors.Is(err, authz.ErrNotFound) {
		return noContent, a.gone(a.policies, c.param("plugin"))
	}
	if err != nil {
		return reply{}, err
	}
	return noContent, a.remove(c, e, c.param("plugin"), func() (stored, error) { return a.find(e, c.param("plugin")) })
}
