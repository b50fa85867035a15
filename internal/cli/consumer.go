package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

func consumerCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("consumer", "Consumers: the owners of credentials",
		"consumer lists, shows, creates, changes and deletes consumers.",
		"  vault-authz consumer list\n"+
			"  vault-authz consumer create alice --custom-id crm-17\n"+
			"  vault-authz consumer delete alice",
		o.listConsumers(),
		o.verb("get CONSUMER", "Show a consumer, by id or username", "  vault-authz consumer get alice", getConsumer),
		o.createConsumer(),
		o.updateConsumer(),
		o.destructive("delete CONSUMER", "Delete a consumer, whose credentials stop working", "  vault-authz consumer delete alice --yes", deleteConsumer),
	)
}

func (o *operator) listConsumers() *cobra.Command {
	var search string
	cmd := o.verb("list", "List consumers, all or those that a text finds", "  vault-authz consumer list\n  vault-authz consumer list --search ali -o json",
		func(ctx context.Context, s *session, _ []string) error { return s.listConsumers(ctx, search) })
	cmd.Flags().StringVar(&search, "search", "", "only those whose username, custom id or a group contains `TEXT`, in any case, or whose id begins with it")
	return cmd
}

func (s *session) listConsumers(ctx context.Context, search string) error {
	all, err := s.SearchConsumers(ctx, search)
	if err != nil {
		return err
	}
	var lines [][]string
	for _, c := range all {
		lines = append(lines, []string{text(c.Username), text(c.CustomID), c.ID, list(c.Tags), instant(c.CreatedAt)})
	}
	return s.many([]string{"USERNAME", "CUSTOM ID", "ID", "TAGS", "CREATED"}, lines)
}

func getConsumer(ctx context.Context, s *session, args []string) error {
	c, err := s.consumer(ctx, args[0])
	if err != nil {
		return err
	}
	return s.showConsumer(c)
}

func (s *session) consumer(ctx context.Context, idOrName string) (api.Consumer, error) {
	c, err := s.Consumers.Get(ctx, idOrName)
	return c, missing(err, "consumer list", "there is no consumer %q", idOrName)
}

func (s *session) showConsumer(c api.Consumer) error {
	options := consumerOptions()
	rows := optionRows(options, api.Values(options, &c), nil)
	return s.one(append(rows, row{"id", c.ID}, row{"created", instant(c.CreatedAt)}, row{"updated", instant(c.UpdatedAt)})...)
}

func (o *operator) createConsumer() *cobra.Command {
	var id string
	options := consumerOptions()
	var cmd *cobra.Command
	cmd = o.verb("create [USERNAME]", "Create a consumer",
		"  vault-authz consumer create alice\n  vault-authz consumer create alice --custom-id crm-17 --tag internal",
		func(ctx context.Context, s *session, args []string) error {
			c := api.Read[api.Consumer](options, given(cmd.Flags(), options))
			c.ID = id
			if len(args) > 0 {
				c.Username = &args[0]
			}
			if c.Username == nil && c.CustomID == nil {
				return exitError{exitUsage, errors.New("give USERNAME or --custom-id; see vault-authz consumer create --help")}
			}
			created, err := s.Consumers.Create(ctx, c)
			if err != nil {
				return err
			}
			return s.showConsumer(created)
		})
	cmd.Flags().StringVar(&id, "id", "", "`UUID` to create it under, random by default")
	addOptionFlags(cmd.Flags(), options, "username")
	return cmd
}

func (o *operator) updateConsumer() *cobra.Command {
	var cmd *cobra.Command
	options := consumerOptions()
	cmd = o.verb("update CONSUMER", "Change a consumer, by id or username",
		"  vault-authz consumer update alice --custom-id crm-18\n  vault-authz consumer update alice --username alicia --tag ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := given(cmd.Flags(), options)
			if err := something(cmd, fields, options); err != nil {
				return err
			}
			c, err := s.Consumers.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(err, "consumer list", "there is no consumer %q", args[0])
			}
			return s.showConsumer(c)
		})
	cmd.Long = "update changes a consumer. Its credentials stay good under another username." + unsetting
	addOptionFlags(cmd.Flags(), options)
	return cmd
}

func deleteConsumer(ctx context.Context, s *session, args []string) error {
	c, err := s.consumer(ctx, args[0])
	if isNotFound(err) {
		// An earlier attempt may have left memberships of it behind.
		if err := s.Consumers.Delete(ctx, args[0]); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := s.confirm(ctx, "Delete consumer %q (%s)? Its credentials stop working.", args[0], c.ID); err != nil {
		return err
	}
	if err := s.Consumers.Delete(ctx, c.ID); err != nil {
		return err
	}
	return s.done("consumer %q is deleted", args[0])
}
