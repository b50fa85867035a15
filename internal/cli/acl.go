package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

func aclCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("acl", "Groups of consumers, which policies allow or deny",
		"acl lists the groups of consumers, adds consumers to groups and removes them.",
		"  vault-authz acl list\n"+
			"  vault-authz acl add alice staff\n"+
			"  vault-authz acl remove alice staff",
		o.listACLs(),
		o.addToGroup(),
		o.destructive("remove CONSUMER GROUP", "Remove a consumer from a group", "  vault-authz acl remove alice staff --yes", removeFromGroup),
	)
}

func (o *operator) listACLs() *cobra.Command {
	var consumer string
	cmd := o.verb("list [CONSUMER]", "List groups, of one consumer or all", "  vault-authz acl list\n  vault-authz acl list --consumer alice -o json",
		func(ctx context.Context, s *session, args []string) error {
			switch {
			case len(args) == 0:
			case consumer != "" && consumer != args[0]:
				return exitError{exitUsage, errors.New("give CONSUMER or --consumer, not both")}
			default:
				consumer = args[0]
			}
			return s.showACLs(ctx, consumer)
		})
	cmd.Flags().StringVar(&consumer, "consumer", "", "`USERNAME` or id of a consumer, for its groups only")
	return cmd
}

func (s *session) showACLs(ctx context.Context, consumer string) error {
	all, err := s.acls(ctx, consumer)
	if err != nil {
		return err
	}
	names, err := s.usernames(ctx)
	if err != nil {
		return err
	}
	var lines [][]string
	for _, a := range all {
		lines = append(lines, []string{a.Group, names.of(a.Consumer), list(a.Tags), a.ID, instant(a.CreatedAt)})
	}
	return s.many([]string{"GROUP", "CONSUMER", "TAGS", "ID", "CREATED"}, lines)
}

func (s *session) acls(ctx context.Context, consumer string) ([]api.ACL, error) {
	if consumer == "" {
		return s.ACLs.List(ctx)
	}
	return s.groups(ctx, consumer)
}

func (s *session) groups(ctx context.Context, consumer string) ([]api.ACL, error) {
	all, err := s.Groups(ctx, consumer)
	return all, unknown(err, "consumer", consumer)
}

// warnWithin is how many memberships are read for a warning. If there are more, nobody waits for
// it, and there is none.
const warnWithin = 20_000

// warnOfEmptyGroups warns of the groups in --allow in which no consumer is: under them nobody
// is let in. The change is made already, so that nothing here is an error.
func (s *session) warnOfEmptyGroups(ctx context.Context) {
	named, _ := s.cmd.Flags().GetStringArray("allow")
	empty := slices.DeleteFunc(slices.Clone(named), func(group string) bool { return group == "" })
	if len(empty) == 0 {
		return
	}
	seen := 0
	if err := s.ACLs.Each(ctx, func(a *api.ACL) bool {
		empty = slices.DeleteFunc(empty, func(group string) bool { return group == a.Group })
		seen++
		return len(empty) > 0 && seen <= warnWithin
	}); err != nil || seen > warnWithin {
		return
	}
	for _, group := range empty {
		s.answers.warnings = append(s.answers.warnings, fmt.Sprintf("no consumer is in the group %q; add those that --allow is to let in with vault-authz acl add CONSUMER GROUP", group))
	}
}

func (o *operator) addToGroup() *cobra.Command {
	var tags []string
	cmd := o.verb("add CONSUMER GROUP", "Add a consumer to a group", "  vault-authz acl add alice staff",
		func(ctx context.Context, s *session, args []string) error {
			a, err := s.AddToGroup(ctx, args[0], api.ACL{Group: args[1], Tags: tags})
			if err != nil {
				return unknown(err, "consumer", args[0])
			}
			return s.one(row{"group", a.Group}, row{"consumer", args[0]}, row{"tags", list(a.Tags)}, row{"id", a.ID}, row{"created", instant(a.CreatedAt)})
		})
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "`TAG`, any number of times")
	return cmd
}

func removeFromGroup(ctx context.Context, s *session, args []string) error {
	all, err := s.groups(ctx, args[0])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(a api.ACL) bool { return a.Group == args[1] })
	if i < 0 {
		return fmt.Errorf("consumer %q is not in a group %q; see vault-authz acl list --consumer %s", args[0], args[1], args[0])
	}
	if err := s.confirm(ctx, "Remove consumer %q from group %q?", args[0], args[1]); err != nil {
		return err
	}
	if err := s.RemoveFromGroup(ctx, args[0], all[i].ID); err != nil {
		return err
	}
	return s.done("consumer %q is out of group %q", args[0], args[1])
}
