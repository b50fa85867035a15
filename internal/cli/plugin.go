package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

func pluginCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("plugin", "Plugins as in Kong: policies (vault-auth), and one acl for all of them",
		"plugin lists and shows what the admin API has as plugins, and creates, changes and deletes them. Each policy is\n"+
			"a plugin vault-auth. The plugin acl allows or denies groups under every policy that has no groups of its own.",
		"  vault-authz plugin list\n"+
			"  vault-authz plugin create acl --deny banned\n"+
			"  vault-authz plugin delete acl",
		o.verb("list", "List plugins", "  vault-authz plugin list\n  vault-authz plugin list -o json", listPlugins),
		o.verb("get PLUGIN", "Show a plugin: acl, or a policy by id or name", "  vault-authz plugin get acl", get((*session).plugin, (*session).showPlugin)),
		o.createPlugin(),
		o.updatePlugin(),
		o.destructive("delete PLUGIN", "Delete a plugin: acl, or a policy by id or name", "  vault-authz plugin delete acl --yes", deletePlugin),
	)
}

func listPlugins(ctx context.Context, s *session, _ []string) error {
	all, err := s.Plugins.List(ctx)
	if err != nil {
		return err
	}
	vaults, err := s.vaultNames(ctx)
	if err != nil {
		return err
	}
	var lines [][]string
	for _, p := range all {
		lines = append(lines, []string{p.Name, text(p.InstanceName), vaults.of(p.Config.Vault), list(p.Config.Allow), list(p.Config.Deny), p.ID})
	}
	return s.many([]string{"NAME", "POLICY", "VAULT", "ALLOW", "DENY", "ID"}, lines)
}

// plugin finds a plugin by its id, by the name of its policy, or the acl by its own name.
func (s *session) plugin(ctx context.Context, name string) (api.Plugin, error) {
	p, err := s.Plugins.Get(ctx, name)
	if name != api.PluginACL || !isNotFound(err) {
		return p, unknown(err, "plugin", name)
	}
	acl, err := s.aclPlugin(ctx)
	if err != nil {
		return api.Plugin{}, err
	}
	if acl == nil {
		return api.Plugin{}, errors.New("there is no plugin acl; see vault-authz plugin create --help")
	}
	s.answers.forget()
	return s.Plugins.Get(ctx, acl.ID)
}

// aclPlugin returns the plugin acl, nil if there is none.
func (s *session) aclPlugin(ctx context.Context) (acl *api.Plugin, err error) {
	err = s.Plugins.Each(ctx, func(p *api.Plugin) bool {
		if p.Name == api.PluginACL {
			acl = p
		}
		return acl == nil
	})
	return acl, err
}

func (s *session) showPlugin(ctx context.Context, p api.Plugin) error {
	rows := []row{{"name", p.Name}}
	if p.Name == api.PluginACL {
		rows = append(rows, row{"allow", list(p.Config.Allow)}, row{"deny", list(p.Config.Deny)}, row{"hide groups header", yesNo(p.Config.HideGroupsHeader)})
	} else {
		vaults, err := s.vaultNames(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, row{"policy", text(p.InstanceName)}, row{"vault", vaults.of(p.Config.Vault)})
	}
	return s.showEntity(append(rows, row{"tags", list(p.Tags)}), p.ID, p.CreatedAt, p.UpdatedAt)
}

func (o *operator) createPlugin() *cobra.Command {
	options := aclPluginOptions()
	cmd := o.verb("create NAME", "Create the plugin acl, for all policies without groups of their own",
		"  vault-authz plugin create acl --allow staff --allow partners",
		func(ctx context.Context, s *session, args []string) error {
			if args[0] != api.PluginACL {
				return exitError{exitUsage, errors.New("only acl is made here; a vault-auth plugin is a policy: see vault-authz policy create --help")}
			}
			p := api.Read[api.Plugin](options, given(s.cmd.Flags(), options))
			p.Name = api.PluginACL
			created, err := s.Plugins.Create(ctx, p)
			if err != nil {
				return err
			}
			defer s.warnOfEmptyGroups(ctx)
			return s.showPlugin(ctx, created)
		})
	addOptionFlags(cmd.Flags(), options)
	return cmd
}

func (o *operator) updatePlugin() *cobra.Command {
	return o.update("update PLUGIN", "Change the plugin acl", "update changes the plugin acl.",
		"  vault-authz plugin update acl --allow staff\n  vault-authz plugin update acl --deny banned --allow ''",
		aclPluginOptions(), nil,
		func(ctx context.Context, s *session, name string, fields map[string]any) error {
			p, err := s.plugin(ctx, name)
			if err != nil {
				return err
			}
			if p.Name != api.PluginACL {
				return exitError{exitUsage, errors.New("only acl is changed here; a vault-auth plugin is a policy: see vault-authz policy update --help")}
			}
			s.answers.forget()
			p, err = s.Plugins.Patch(ctx, p.ID, fields)
			if err != nil {
				return err
			}
			defer s.warnOfEmptyGroups(ctx)
			return s.showPlugin(ctx, p)
		})
}

func deletePlugin(ctx context.Context, s *session, args []string) error {
	p, err := s.plugin(ctx, args[0])
	if err != nil {
		return err
	}
	question := "Delete policy %q (%s)? Its requests are denied, or governed by another."
	if p.Name == api.PluginACL {
		question = "Delete plugin %q (%s)? Policies without groups of their own let every consumer in then."
	}
	return remove(ctx, s, s.Plugins, "plugin", args[0], p.ID, question)
}
