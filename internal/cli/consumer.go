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
		o.verb("get CONSUMER", "Show a consumer, by id or username", "  vault-authz consumer get alice", get((*session).consumer, (*session).showConsumer)),
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

func (s *session) consumer(ctx context.Context, idOrName string) (api.Consumer, error) {
	c, err := s.Consumers.Get(ctx, idOrName)
	return c, unknown(err, "consumer", idOrName)
}

func (s *session) showConsumer(_ context.Context, c api.Consumer) error {
	options := consumerOptions()
	return s.showEntity(optionRows(options, api.Values(options, &c), nil), c.ID, c.CreatedAt, c.UpdatedAt)
}

func (o *operator) createConsumer() *cobra.Command {
	options := consumerOptions()
	return o.create("create [USERNAME]", "Create a consumer",
		"  vault-authz consumer create alice\n  vault-authz consumer create alice --custom-id crm-17 --tag internal",
		options, "username",
		func(ctx context.Context, s *session, args []string, fields map[string]any) error {
			c := api.Read[api.Consumer](options, fields)
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
			return s.showConsumer(ctx, created)
		})
}

func (o *operator) updateConsumer() *cobra.Command {
	return o.update("update CONSUMER", "Change a consumer, by id or username",
		"update changes a consumer. Its credentials stay good under another username.",
		"  vault-authz consumer update alice --custom-id crm-18\n  vault-authz consumer update alice --username alicia --tag ''",
		consumerOptions(), nil,
		func(ctx context.Context, s *session, name string, fields map[string]any) error {
			c, err := s.Consumers.Patch(ctx, name, fields)
			if err != nil {
				return unknown(err, "consumer", name)
			}
			return s.showConsumer(ctx, c)
		})
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
	return remove(ctx, s, s.Consumers, "consumer", args[0], c.ID, "Delete consumer %q (%s)? Its credentials stop working.")
}
