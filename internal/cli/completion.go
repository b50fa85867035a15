package cli

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

// completionTimeout bounds what a press of the tab key may take.
const completionTimeout = time.Second

// A completer names what an argument can be.
type completer func(context.Context, *session) ([]string, error)

// completers are for the arguments that usage lines name. Access tokens are left out: the tab
// key must not show them.
func completers() map[string]completer {
	return map[string]completer{"CONSUMER": consumerNames, "VAULT": vaultNames, "POLICY": policyNames, "PLUGIN": pluginNames, "GROUP": groupNames}
}

// consumerNames, like groupNames, returns the first thousand: there may be very many, and
// completion must be quick.
func consumerNames(ctx context.Context, s *session) (names []string, err error) {
	all, err := s.Consumers.First(ctx)
	for _, c := range all {
		// One without a username goes by its id.
		if c.Username != nil {
			names = append(names, *c.Username)
		} else {
			names = append(names, c.ID)
		}
	}
	return names, err
}

func vaultNames(ctx context.Context, s *session) (names []string, err error) {
	all, err := s.Vaults.List(ctx)
	for _, v := range all {
		names = append(names, v.Name)
	}
	return names, err
}

func policyNames(ctx context.Context, s *session) (names []string, err error) {
	all, err := s.Policies.List(ctx)
	for _, p := range all {
		names = append(names, p.Name)
	}
	return names, err
}

func pluginNames(ctx context.Context, s *session) (names []string, err error) {
	all, err := s.Plugins.List(ctx)
	for _, p := range all {
		// Each is of one name only: the acl of its own, the others of their policies.
		if p.Name == api.PluginACL {
			names = append(names, p.Name)
		} else {
			names = append(names, text(p.InstanceName))
		}
	}
	return names, err
}

func groupNames(ctx context.Context, s *session) (names []string, err error) {
	all, err := s.ACLs.First(ctx)
	for _, a := range all {
		names = append(names, a.Group)
	}
	return names, err
}

// completeArguments completes the arguments that a usage line names.
func (o *operator) completeArguments(use string) cobra.CompletionFunc {
	places := strings.Fields(use)[1:]
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.complete(completers()[strings.Trim(places[len(args)], "[]")])(cmd, args, typed)
	}
}

// complete asks the running service, and offers nothing after an error.
func (o *operator) complete(names completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		if names == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if o.readsInput() {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		s, err := o.open(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := names(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completions(all, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// readsInput reports whether a flag reads standard input, which during completion is the
// terminal that the user types on.
func (o *operator) readsInput() bool {
	return slices.Contains([]string{o.tokenFile, o.tls.caFile, o.tls.certFile, o.tls.keyFile}, dash)
}

// completions returns the names that begin with what is typed, each once. Anybody with access
// to the API may have chosen them, and a shell puts the common beginning of several on the
// command line as it is, which bash evaluates at the next tab. So names are left out that a
// shell would interpret, that could move the cursor or break the protocol with the shell, and
// that look like a flag.
func completions(names []string, typed string) []string {
	seen := map[string]bool{}
	var out []string
	for _, name := range names {
		if !seen[name] && strings.HasPrefix(name, typed) && isPlainWord(name) {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// isPlainWord reports whether every shell reads a name as one word without a special meaning.
func isPlainWord(name string) bool {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.@+:/=", r)
	}
	return name != "" && !strings.ContainsAny(name[:1], "-@=") && !strings.ContainsFunc(name, special)
}
