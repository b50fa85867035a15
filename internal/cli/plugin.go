package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/internal/admin"
)

// pluginACL is the name of the one plugin that is no policy.
const pluginACL = "acl"

func pluginCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("plugin", "Plugins as Kong has them: policies (vault-auth), and one acl for all of them",
		"plugin lists and shows what the admin API has as plugins, and creates, changes and deletes them. Each policy is\n"+
			"a plugin vault-auth. The plugin acl allows or denies groups under every policy that has no groups of its own.",
		"  vault-authz plugin list\n"+
			"  vault-authz plugin create acl --deny banned\n"+
			"  vault-authz plugin delete acl",
		o.verb("list", "List plugins", "  vault-authz plugin list\n  vault-authz plugin list -o json", listPlugins),
		o.verb("get PLUGIN", "Show a plugin: acl, or a policy by id or name", "  vault-authz plugin get acl", getPlugin),
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

func getPlugin(ctx context.Context, s *session, args []string) error {
	p, err := s.plugin(ctx, args[0])
	if err != nil {
		return err
	}
	return s.showPlugin(ctx, p)
}

// plugin finds a plugin by its id, by the name of its policy, or the acl by its own name.
func (s *session) plugin(ctx context.Context, name string) (admin.Plugin, error) {
	p, err := s.Plugins.Get(ctx, name)
	if name != pluginACL || !isNotFound(err) {
		return p, missing(err, "plugin list", "there is no plugin %q", name)
	}
	all, err := s.Plugins.List(ctx)
	if err != nil {
		return admin.Plugin{}, err
	}
	i := slices.IndexFunc(all, func(p admin.Plugin) bool { return p.Name == pluginACL })
	if i < 0 {
		return admin.Plugin{}, errors.New("there is no plugin acl; see vault-authz plugin create --help")
	}
	s.answers.forget()
	return s.Plugins.Get(ctx, all[i].ID)
}

func (s *session) showPlugin(ctx context.Context, p admin.Plugin) error {
	rows := []row{{"name", p.Name}}
	if p.Name == pluginACL {
		rows = append(rows, row{"allow", list(p.Config.Allow)}, row{"deny", list(p.Config.Deny)}, row{"hide groups header", yesNo(p.Config.HideGroupsHeader)})
	} else {
		vaults, err := s.vaultNames(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, row{"policy", text(p.InstanceName)}, row{"vault", vaults.of(p.Config.Vault)})
	}
	return s.one(append(rows, row{"tags", list(p.Tags)}, row{"id", p.ID}, row{"created", instant(p.CreatedAt)}, row{"updated", instant(p.UpdatedAt)})...)
}

// aclFlags are what the acl plugin says, and their fields.
var aclFlags = map[string]string{"allow": "allow", "deny": "deny", "hide-groups-header": "hide_groups_header", "tag": "tags"}

func addACLFlags(f *pflag.FlagSet) {
	f.StringArray("allow", nil, "`GROUP` that is let in, and no other, any number of times")
	f.StringArray("deny", nil, "`GROUP` that is kept out, any number of times")
	f.Bool("hide-groups-header", false, "do not tell the upstream the groups")
	f.StringArray("tag", nil, "`TAG`, any number of times")
}

func (o *operator) createPlugin() *cobra.Command {
	var cmd *cobra.Command
	cmd = o.verb("create NAME", "Create the plugin acl, for all policies without groups of their own",
		"  vault-authz plugin create acl --allow staff --allow partners",
		func(ctx context.Context, s *session, args []string) error {
			if args[0] != pluginACL {
				return exitError{exitUsage, errors.New("only acl is made here; a vault-auth plugin is a policy: see vault-authz policy create --help")}
			}
			f := cmd.Flags()
			p := admin.Plugin{Name: pluginACL}
			// The types are those that the flags were made with.
			p.Config.Allow, _ = f.GetStringArray("allow")
			p.Config.Deny, _ = f.GetStringArray("deny")
			p.Tags, _ = f.GetStringArray("tag")
			if hide, err := f.GetBool("hide-groups-header"); err == nil && hide {
				p.Config.HideGroupsHeader = &hide
			}
			created, err := s.Plugins.Create(ctx, p)
			if err != nil {
				return err
			}
			return s.showPlugin(ctx, created)
		})
	addACLFlags(cmd.Flags())
	return cmd
}

func (o *operator) updatePlugin() *cobra.Command {
	var cmd *cobra.Command
	cmd = o.verb("update PLUGIN", "Change the plugin acl",
		"  vault-authz plugin update acl --allow staff\n  vault-authz plugin update acl --deny banned --allow ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := changes(cmd.Flags(), aclFlags)
			if err := something(cmd, fields, aclFlags); err != nil {
				return err
			}
			p, err := s.plugin(ctx, args[0])
			if err != nil {
				return err
			}
			if p.Name != pluginACL {
				return exitError{exitUsage, errors.New("only acl is changed here; a vault-auth plugin is a policy: see vault-authz policy update --help")}
			}
			nested(fields, "config", "allow", "deny", "hide_groups_header")
			s.answers.forget()
			p, err = s.Plugins.Patch(ctx, p.ID, fields)
			if err != nil {
				return err
			}
			return s.showPlugin(ctx, p)
		})
	cmd.Long = "update changes the plugin acl." + unsetting
	addACLFlags(cmd.Flags())
	return cmd
}

func deletePlugin(ctx context.Context, s *session, args []string) error {
	p, err := s.plugin(ctx, args[0])
	if err != nil {
		return err
	}
	question := "Delete policy %q (%s)? Its requests are denied, or governed by another."
	if p.Name == pluginACL {
		question = "Delete plugin %q (%s)? Policies without groups of their own let every consumer in then."
	}
	if err := s.confirm(ctx, question, args[0], p.ID); err != nil {
		return err
	}
	if err := s.Plugins.Delete(ctx, p.ID); err != nil {
		return err
	}
	return s.done("plugin %q is deleted", args[0])
}
