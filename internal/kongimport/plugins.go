package kongimport

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/vault-authz/vault-authz/internal/api"
)

// The plugins that have a counterpart.
const (
	vaultAuth = api.PluginVaultAuth
	aclPlugin = api.PluginACL
)

func (s scope) global() bool {
	return s.service == nil && s.route == nil && s.consumer == nil && s.group == nil
}

func (s scope) String() string {
	switch {
	case s.consumer != nil:
		return "consumer " + refer(s.consumer, "username", "custom_id").String()
	case s.group != nil:
		return "consumer group " + refer(s.group, "name").String()
	case s.route != nil:
		return "route " + refer(s.route, "name").String()
	case s.service != nil:
		return "service " + refer(s.service, "name").String()
	}
	return "global"
}

func (pl plugin) name() string { return nameOf(pl.fields["name"]) }

// off reports whether a plugin is switched off; Kong then uses the next one.
func (pl plugin) off() bool { return pl.fields["enabled"] == false }

// plugins plans the acl before vault-auth: without a policy every request is denied, and
// with the acl first no request gets in that the acl denies.
func (p *planner) plugins() {
	for _, name := range []string{aclPlugin, vaultAuth} {
		for _, pl := range p.file.plugins {
			if pl.name() == name && pl.scope.global() && !pl.off() {
				p.global(pl)
			}
		}
	}
	for at, pl := range p.file.plugins {
		known := pl.name() == vaultAuth || pl.name() == aclPlugin
		if known && pl.scope.global() && !pl.off() {
			continue
		}
		s := Step{Action: Left, Kind: kindPlugin, Name: pl.name(), ID: nameOf(pl.fields["id"])}
		if !pl.scope.global() {
			s.Name += " (" + pl.scope.String() + ")"
		}
		switch {
		case !known:
			s.Notes = []string{"the plugin has no counterpart"}
		case pl.off():
			s.Notes = []string{"is switched off in Kong; here a plugin cannot be switched off"}
		default:
			p.scoped(&s, at)
		}
		p.add(&s)
	}
}

// global plans a plugin without a scope.
func (p *planner) global(pl plugin) {
	r := readerOf(pl.fields, "")
	wanted := api.Plugin{ID: r.id(), Name: r.text("name"), InstanceName: r.optional("instance_name"), Tags: r.list("tags")}
	for _, name := range []string{"config", "enabled", "protocols", "_config"} {
		r.read[name] = true
	}
	c := p.config(pl)
	wanted.Config = c.plugin
	notes := slices.Concat(r.unread(ignored("run_on")...), c.notes, protocolNotes(pl.fields["protocols"]))
	s := Step{Action: Create, Kind: kindPlugin, Name: wanted.Name, ID: wanted.ID, Notes: notes}
	defer func() { p.add(&s) }()
	if problems := slices.Concat(r.problems, c.problems); len(problems) > 0 {
		s.needs(problems...)
		return
	}
	if h, exists := p.findPlugin(&wanted); exists {
		s.compared(p.pluginDifferences(&wanted, h))
		return
	}
	if c.visible {
		c.needs = cmp.Or(c.needs, "Envoy cannot take tokens out of a body: write config.body_credentials_visible: true into the file if the upstream may see them, or leave out config.tokens_in_body")
	}
	if policy := cmp.Or(text(wanted.InstanceName), vaultAuth); wanted.Name == vaultAuth &&
		slices.ContainsFunc(p.have.Policies, func(h api.Policy) bool { return h.Name == policy }) {
		s.compared([]string{fmt.Sprintf("there is another policy with the name %q", policy)})
		return
	}
	if wanted.Name == vaultAuth && p.aclAmiss() {
		c.needs = cmp.Or(c.needs, "needs the acl plugin as it is in the file first: without it, more would get in")
	}
	if c.needs != "" {
		s.needs(c.needs)
		return
	}
	s.make = func(ctx context.Context, client *api.Client) error {
		_, err := client.Plugins.Create(ctx, wanted)
		return err
	}
	p.have.Plugins = append(p.have.Plugins, wanted)
	if wanted.Name == vaultAuth {
		yes := true
		p.have.Policies = append(p.have.Policies, api.Policy{ID: wanted.ID, Name: cmp.Or(text(wanted.InstanceName), vaultAuth), Default: &yes})
	}
}

// aclAmiss reports whether the acl plugin of the file neither exists nor can be made.
func (p *planner) aclAmiss() bool {
	return slices.ContainsFunc(p.changes.Steps, func(s Step) bool {
		return s.Kind == kindPlugin && s.Name == aclPlugin && (s.Action == Needs || s.Action == Differs)
	})
}

// protocolNotes returns a note for a plugin that is limited to some protocols.
func protocolNotes(value any) []string {
	list, ok := value.([]any)
	for _, governed := range api.Protocols() {
		if ok && len(list) > 0 && !slices.Contains(list, any(governed)) {
			return []string{"applies to some protocols only in Kong; here it governs all of them"}
		}
	}
	return nil
}

// findPlugin finds the plugin with the id, else the global one of the same name.
func (p *planner) findPlugin(wanted *api.Plugin) (*api.Plugin, bool) {
	for i := range p.have.Plugins {
		if h := &p.have.Plugins[i]; wanted.ID != "" && h.ID == wanted.ID {
			return h, true
		}
	}
	for i := range p.have.Plugins {
		if h := &p.have.Plugins[i]; h.Name == wanted.Name && (h.Name == aclPlugin || p.isDefault(h)) {
			return h, true
		}
	}
	return nil, false
}

func (p *planner) isDefault(h *api.Plugin) bool {
	return slices.ContainsFunc(p.have.Policies, func(d api.Policy) bool {
		return d.ID == h.ID && d.Default != nil && *d.Default
	})
}

func (p *planner) pluginDifferences(kong, here *api.Plugin) []string {
	var d differences
	d.id(kong.ID, here.ID)
	d.add("name", kong.Name, here.Name)
	if kong.InstanceName != nil {
		d.add("instance_name", kong.InstanceName, here.InstanceName)
	}
	d.set("tags", kong.Tags, here.Tags)
	k, h := &kong.Config, &here.Config
	if kong.Name == aclPlugin {
		d.options(api.PluginFields(aclPlugin), k, h)
		return d
	}
	if !p.isDefault(here) {
		d = append(d, "governs everything in the file and only some requests here")
	}
	d.options(api.PluginFields(vaultAuth), k, h)
	return d
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func or(b *bool, byDefault bool) bool {
	if b == nil {
		return byDefault
	}
	return *b
}

// A configuration is the config of a plugin, as far as it can be read.
type configuration struct {
	plugin api.PluginConfig
	needs  string
	// visible says that the upstream would see tokens that should be hidden, and that
	// the file does not accept that.
	visible         bool
	problems, notes []string
}

// config reads the config of a vault-auth or acl plugin.
func (p *planner) config(pl plugin) configuration {
	var c configuration
	fields := object{}
	if shared := nameOf(pl.fields["_config"]); shared != "" {
		maps.Copy(fields, p.file.configs[shared])
	}
	own, ok := pl.fields["config"].(map[string]any)
	if !ok && pl.fields["config"] != nil {
		c.problems = append(c.problems, "config is not an object")
	}
	maps.Copy(fields, own)
	r := readerOf(fields, "config.")
	if pl.name() == aclPlugin {
		c.acl(r)
	} else {
		p.vaultAuth(&c, r)
	}
	c.problems = append(c.problems, r.problems...)
	c.notes = append(c.notes, r.unread()...)
	return c
}

func (c *configuration) acl(r *reader) {
	// Until Kong 3.0 they were called whitelist and blacklist.
	c.plugin.Allow = append(r.list("allow"), r.list("whitelist")...)
	c.plugin.Deny = append(r.list("deny"), r.list("blacklist")...)
	c.plugin.HideGroupsHeader = r.boolean("hide_groups_header")
	if (len(c.plugin.Allow) == 0) == (len(c.plugin.Deny) == 0) && len(r.problems) == 0 {
		c.needs = "must have either config.allow or config.deny: correct it in the file"
	}
}

func (p *planner) vaultAuth(c *configuration, r *reader) {
	r.options(api.PluginFields(vaultAuth), &c.plugin)
	vault := refer(r.value("vault"), "name")
	if vault.id != "" {
		c.plugin.Vault = &api.Ref{ID: vault.id}
	}
	if at := slices.IndexFunc(p.have.Vaults, func(v api.Vault) bool { return vault.meets(reference{v.ID, v.Name}) }); at < 0 {
		c.needs = p.needsVault(vault)
	} else {
		c.plugin.Vault = &api.Ref{ID: p.have.Vaults[at].ID}
	}
	if c.plugin.Anonymous != nil && c.needs == "" {
		if _, known := p.findConsumer(*c.plugin.Anonymous); !known {
			c.needs = fmt.Sprintf("needs the consumer %q of config.anonymous first: dump GET /consumers too", *c.plugin.Anonymous)
		}
	}
	if r.fields["hide_credentials"] == nil {
		c.notes = append(c.notes, "config.hide_credentials is not in the file: it is true here, and false in Kong before 3.14")
	}
	if !or(c.plugin.RunOnPreflight, true) {
		c.notes = append(c.notes, "config.run_on_preflight=false lets CORS preflights through here, and every OPTIONS request in Kong; a policy with preflight=any is like Kong")
	}
	c.visible = or(c.plugin.TokensInBody, false) && or(c.plugin.HideCredentials, true) && !or(c.plugin.BodyCredentialsVisible, false)
}

// needsVault describes the vault object that a plugin needs first, and how to get it.
func (p *planner) needsVault(vault reference) string {
	if vault == (reference{}) {
		return "config.vault is missing: name the vault object that has the credentials"
	}
	for _, o := range p.file.vaults {
		if vault.meets(refer(o, "name")) {
			return fmt.Sprintf("needs the vault object %q first, see above", describe(o))
		}
	}
	made := "vault-authz vault create"
	if vault.id != "" {
		made += " NAME --id " + vault.id
	}
	return fmt.Sprintf("needs the vault object %q first, which decK does not dump: give what GET /vault-auth of Kong's Admin API answers as one more FILE, or make it (%s)", vault, made)
}
