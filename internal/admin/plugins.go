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

// The plugins of Kong's that there are.
const (
	pluginVaultAuth = "vault-auth"
	pluginACL       = "acl"
)

var (
	protocols = []string{"grpc", "grpcs", "http", "https"}
	// upgrades are protocols that Kong Enterprise lists apart. To Envoy a
	// WebSocket is an HTTP request, which is governed like any other.
	upgrades = []string{"ws", "wss"}
)

// pluginFields is the schema of a plugin with the fields of its config.
func pluginFields(config ...field) []field {
	return []field{
		idField,
		{name: "name", required: true, oneOf: []string{pluginVaultAuth, pluginACL}},
		{name: "instance_name", check: checkName},
		{name: "config", kind: record, fields: config},
		{name: "enabled", kind: boolean, byDefault: true},
		{name: "protocols", kind: list, byDefault: protocols, check: func(s string) string {
			if !slices.Contains(protocols, s) && !slices.Contains(upgrades, s) {
				return "expected one of: grpc, grpcs, http, https"
			}
			return ""
		}},
		{name: "service", kind: reference, key: "name"},
		{name: "route", kind: reference, key: "name"},
		{name: "consumer", kind: reference, key: "username"},
		tagsField, createdField, updatedField,
	}
}

// vaultAuthFields is a policy as Kong shows it.
var vaultAuthFields = pluginFields(
	field{name: "vault", kind: reference, key: "name", required: true},
	field{name: "access_token_name", kind: names, byDefault: []string{"access_token"}},
	field{name: "secret_token_name", kind: names, byDefault: []string{"secret_token"}},
	field{name: "tokens_in_body", kind: boolean, byDefault: false},
	field{name: "hide_credentials", kind: boolean, byDefault: true},
	field{name: "anonymous"},
	field{name: "run_on_preflight", kind: boolean, byDefault: true},
	// Not Kong's: without it tokens_in_body needs hide_credentials=false.
	field{name: "body_credentials_visible", kind: boolean, byDefault: false},
)

// aclFields is the acl plugin.
var aclFields = pluginFields(
	field{name: "allow", kind: list, check: checkGroup},
	field{name: "deny", kind: list, check: checkGroup},
	field{name: "hide_groups_header", kind: boolean, byDefault: false},
	// Always false, and shown as Kong shows them: decK's files have them.
	field{name: "always_use_authenticated_groups", kind: boolean, byDefault: false},
	field{name: "include_consumer_groups", kind: boolean, byDefault: false},
)

// inConfig are the fields that a policy and the plugin's config share.
var inConfig = []string{
	"vault", "access_token_name", "secret_token_name", "tokens_in_body", "hide_credentials",
	"anonymous", "run_on_preflight", "body_credentials_visible",
}

// aclPlugins is the acl plugin; there is one at the most, which is global. It
// governs policies that have no acl of their own.
func aclPluginsEntity() *entity {
	return &entity{
		kind: state.KindPolicies, name: "plugins",
		fields: aclFields,
		owns:   func(d document) bool { return d.text("plugin") == pluginACL },
		unique: func(document) []constraint {
			return []constraint{{key: "plugin=" + pluginACL, fields: map[string]any{"name": pluginACL, "service": nil, "route": nil, "consumer": nil}}}
		},
		check: func(_ *API, d, _ document, v violations) error {
			checkPlugin(d, v)
			config := d.record("config")
			if (len(config.list("allow")) == 0) == (len(config.list("deny")) == 0) {
				v.add("config."+entityField, "exactly one of these fields must be non-empty: 'allow', 'deny'")
			}
			d["plugin"] = pluginACL
			return nil
		},
	}
}

// checkPlugin refuses what Kong can do by a plugin and this cannot: nothing is
// accepted and then not done.
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
	if slices.ContainsFunc(protocols, func(p string) bool { return !slices.Contains(given, p) }) {
		v.add("protocols", "a plugin governs all of grpc, grpcs, http, https")
		return
	}
	d["protocols"] = protocols
}

// pluginOf shows a policy as a plugin.
func pluginOf(policy document) document {
	config := document{}
	for _, name := range inConfig {
		config[name] = policy[name]
	}
	// The name that a policy has where the plugin was given none: decK would take it off
	// again at every run.
	name := policy["name"]
	if name == pluginVaultAuth {
		name = nil
	}
	return document{
		"id": policy["id"], "name": pluginVaultAuth, "instance_name": name, "config": config,
		"enabled": true, "protocols": protocols, "tags": policy["tags"],
		"created_at": policy["created_at"], "updated_at": policy["updated_at"],
	}
}

// policyFrom makes the policy that a plugin means. What a plugin cannot say
// stays as it is in old; a new one is global, as in Kong.
func policyFrom(plugin, old document) document {
	policy := old
	if old == nil {
		policy = typed(policyFields, map[string]any{"default": true}, false, nil, violations{}, "")
	}
	policy = merged(policy, document{
		"id": plugin["id"], "tags": plugin["tags"], "created_at": plugin["created_at"],
		"name": cmp.Or(plugin.text("instance_name"), policy.text("name"), pluginVaultAuth),
	})
	for _, name := range inConfig {
		policy[name] = plugin.record("config")[name]
	}
	return policy
}

// asConfig moves what is wrong with a policy's fields to where the plugin has
// them.
func asConfig(err error) error {
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != codeSchema {
		return err
	}
	moved := violations{}
	for name, problem := range p.Fields {
		switch {
		case slices.Contains(inConfig, name):
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
	case pluginVaultAuth:
	case pluginACL:
		fields = aclFields
	default:
		return nil, violations{"name": fmt.Sprintf("plugin '%s' not enabled; there are: %s, %s", name, pluginVaultAuth, pluginACL)}.err()
	}
	v := violations{}
	values := withoutForeign(in.values, in.form, foreignFields, "", v)
	if config, ok := values["config"].(map[string]any); ok && name == pluginACL {
		values["config"] = withoutForeign(config, in.form, foreignConfig, "config.", v)
	}
	d := typed(fields, values, in.form, base, v, "")
	if d["name"] != nil && d["name"] != name {
		v.add("name", "cannot be changed")
	}
	d["name"] = name
	if name == pluginVaultAuth {
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
	if d.text("name") == pluginACL {
		d, err := a.insert(c, a.aclPlugins, d)
		return reply{status, shown(aclFields, d)}, err
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
	if d.text("plugin") == pluginACL {
		return shown(aclFields, d)
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

// putPlugin replaces what a plugin says. A policy's hosts, paths and the like
// are not the plugin's and stay.
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
		name, current := pluginACL, old
		if e == a.policies {
			name, current = pluginVaultAuth, pluginOf(old)
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
