package admin

import (
	"cmp"
	"errors"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/kong"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// aclPlugins is the acl plugin. At most one exists, and it is global: it applies to
// policies without an acl of their own.
func aclPluginsEntity() *entity {
	return &entity{
		kind: state.KindPolicies, name: "plugins",
		fields: schema.ACLPlugin,
		owns:   func(d schema.Document) bool { return d.Text("plugin") == api.PluginACL },
		unique: func(schema.Document) []constraint {
			return []constraint{{key: "plugin=" + api.PluginACL, fields: map[string]any{"name": api.PluginACL, "service": nil, "route": nil, "consumer": nil}}}
		},
		check: func(_ *API, d, _ schema.Document, v schema.Violations) error {
			kong.CheckPlugin(d, v)
			config := d.Record("config")
			if (len(config.List("allow")) == 0) == (len(config.List("deny")) == 0) {
				v.Add("config."+schema.EntityField, "exactly one of these fields must be non-empty: 'allow', 'deny'")
			}
			d["plugin"] = api.PluginACL
			return nil
		},
	}
}

func (a *API) createPlugin(c *call) (reply, error) {
	d, err := kong.ReadPlugin(c.input, "", nil)
	if err != nil {
		return reply{}, err
	}
	return a.insertPlugin(c, d, 201)
}

func (a *API) insertPlugin(c *call, d schema.Document, status int) (reply, error) {
	e := a.aclPlugins
	if d.Text("name") != api.PluginACL {
		e, d = a.policies, kong.PolicyOfPlugin(d, nil)
	}
	d, err := a.insert(c, e, d)
	return reply{status, kong.ShowPlugin(d)}, kong.InConfig(err)
}

// findPlugin finds either plugin by id, and a policy by its name. e is that of policies if
// there is none.
func (a *API) findPlugin(idOrName string) (e *entity, s schema.Stored, err error) {
	for _, e := range []*entity{a.policies, a.aclPlugins} {
		if s, err = a.find(e, idOrName); !errors.Is(err, authz.ErrNotFound) {
			return e, s, err
		}
	}
	return a.policies, schema.Stored{}, err
}

func (a *API) getPlugin(c *call) (reply, error) {
	_, s, err := a.findPlugin(c.param("plugin"))
	if err != nil {
		return reply{}, err
	}
	return ok(kong.ShowPlugin(s.Document)), nil
}

func (a *API) listPlugins(c *call) (reply, error) {
	var items []schema.Document
	for _, e := range []*entity{a.policies, a.aclPlugins} {
		all, err := a.all(e)
		if err != nil {
			return reply{}, err
		}
		for _, s := range all {
			items = append(items, kong.ShowPlugin(s.Document))
		}
	}
	slices.SortFunc(items, func(x, y schema.Document) int { return cmp.Compare(x.Text("id"), y.Text("id")) })
	return c.pageOf(items)
}

func (a *API) listEnabledPlugins(*call) (reply, error) {
	return ok(schema.Document{"enabled_plugins": kong.EnabledPlugins()}), nil
}

func (a *API) patchPlugin(c *call) (reply, error) { return a.changePlugin(c, true) }

// putPlugin replaces the options of a plugin. Those that only the policy has, such as
// hosts and paths, stay.
func (a *API) putPlugin(c *call) (reply, error) {
	_, _, err := a.findPlugin(c.param("plugin"))
	if !errors.Is(err, authz.ErrNotFound) {
		return a.changePlugin(c, false)
	}
	d, err := kong.ReadPlugin(c.input, "", nil)
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
	find := func() (schema.Stored, error) { return a.find(e, c.param("plugin")) }
	d, err := a.update(c, e, find, func(old schema.Document) (schema.Document, error) {
		name, current := api.PluginACL, old
		if e == a.policies {
			name, current = api.PluginVaultAuth, kong.PluginOf(old)
		}
		var base schema.Document
		if partly {
			base = current
		}
		d, err := kong.ReadPlugin(c.input, name, base)
		if err != nil || e == a.aclPlugins {
			return d, err
		}
		return kong.PolicyOfPlugin(d, old), nil
	})
	if err != nil {
		return reply{}, kong.InConfig(err)
	}
	return ok(kong.ShowPlugin(d)), nil
}

func (a *API) deletePlugin(c *call) (reply, error) {
	e, s, err := a.findPlugin(c.param("plugin"))
	return noContent, a.remove(c, e, c.param("plugin"), func() (schema.Stored, error) { return s, err })
}
