package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

// get returns what a verb does that shows one entity.
func get[T any](find func(*session, context.Context, string) (T, error), show func(*session, context.Context, T) error) action {
	return func(ctx context.Context, s *session, args []string) error {
		found, err := find(s, ctx, args[0])
		if err != nil {
			return err
		}
		return show(s, ctx, found)
	}
}

// create returns a verb with --id and a flag for each option, except for the one that the argument
// gives. fields are what the flags say.
func (o *operator) create(use, short, example string, options []api.Field, argument string, run func(ctx context.Context, s *session, args []string, fields map[string]any) error) *cobra.Command {
	var id string
	cmd := o.verb(use, short, example, func(ctx context.Context, s *session, args []string) error {
		fields := given(s.cmd.Flags(), options)
		fields["id"] = id
		return run(ctx, s, args, fields)
	})
	cmd.Flags().StringVar(&id, "id", "", "`UUID` to create it under, random by default")
	addOptionFlags(cmd.Flags(), options, argument)
	return cmd
}

// update returns a verb with a flag for each option. fields are what the flags say, one at least.
// more are flags that the caller adds.
func (o *operator) update(use, short, long, example string, options []api.Field, more []string, run func(ctx context.Context, s *session, name string, fields map[string]any) error) *cobra.Command {
	cmd := o.verb(use, short, example, func(ctx context.Context, s *session, args []string) error {
		if err := something(s.cmd, options, more...); err != nil {
			return err
		}
		return run(ctx, s, args[0], given(s.cmd.Flags(), options))
	})
	cmd.Long = long + "\n\nWhat no flag is given for stays. An empty value, like --tag '', unsets a field; a list is replaced as a whole."
	addOptionFlags(cmd.Flags(), options)
	return cmd
}

// remove deletes an entity after a question, which has the verbs %q for its name and %s for its id.
func remove[T any](ctx context.Context, s *session, from api.Collection[T], kind, name, id, question string) error {
	if err := s.confirm(ctx, question, name, id); err != nil {
		return err
	}
	if err := from.Delete(ctx, id); err != nil {
		return err
	}
	return s.done("%s %q is deleted", kind, name)
}

// unknown replaces an answer 404 about an entity by what was not found and where to look. Other
// errors stay as they are.
func unknown(err error, kind, name string) error {
	noun, _, _ := strings.Cut(kind, " ")
	return missing(err, noun+" list", "there is no %s %q", kind, name)
}

// showEntity ends the rows of an entity with what every entity has.
func (s *session) showEntity(rows []row, id string, created, updated int64) error {
	return s.one(append(rows, row{"id", id}, row{"created", instant(created)}, row{"updated", instant(updated)})...)
}

// names are names by the id of what has them.
type names map[string]string

// of returns the name of an entity, or else its id.
func (n names) of(entity *api.Ref) string {
	switch {
	case entity == nil:
		return ""
	case n[entity.ID] != "":
		return n[entity.ID]
	default:
		return entity.ID
	}
}

// usernames and vaultNames make tables readable. JSON has the ids.
func (s *session) usernames(ctx context.Context) (names, error) {
	return namesOf(ctx, s, s.Consumers, func(c *api.Consumer) (id, name string) { return c.ID, text(c.Username) })
}

func (s *session) vaultNames(ctx context.Context) (names, error) {
	return namesOf(ctx, s, s.Vaults, func(v *api.Vault) (id, name string) { return v.ID, v.Name })
}

func namesOf[T any](ctx context.Context, s *session, all api.Collection[T], of func(*T) (id, name string)) (names, error) {
	if s.asJSON {
		return nil, nil
	}
	n := names{}
	err := all.Each(ctx, func(entity *T) bool {
		id, name := of(entity)
		n[id] = name
		return true
	})
	return n, err
}
