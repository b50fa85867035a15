package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/internal/api"
)

// The environment variables of the commands that call a running service. Their prefix is not
// VAULT_AUTHZ_: serve takes each of those for a setting and refuses unknown ones.
const (
	urlVariable     = "VA_ADMIN_URL"
	tokenVariable   = "VA_ADMIN_TOKEN"
	addressVariable = "VA_ADDRESS"
)

// There are two tokens: that of the admin API and that of a Vault. Their flags must not be
// easy to confuse.
const (
	adminTokenFlag = "admin-token-file"
	vaultTokenFlag = "vault-token-file"
)

const defaultAdminURL = "http://127.0.0.1:9192"

// operatorCommands are the commands that call the admin API.
func operatorCommands(p Process) []*cobra.Command {
	return []*cobra.Command{
		vaultCommand(p), consumerCommand(p), credentialCommand(p), policyCommand(p), pluginCommand(p), aclCommand(p), explainCommand(p),
	}
}

// An operator holds the flags of a command that calls the admin API.
type operator struct {
	p                  Process
	url, output, field string
	tokenFile          string
	tls                tlsFlags
	insecure           bool
	timeout            time.Duration
}

// group returns a command whose verbs do the work.
func (o *operator) group(name, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Example: example, Long: long + callsAdminAPI,
	}
	onlyVerbs(cmd)
	cmd.PersistentFlags().StringVar(&o.url, "admin", defaultAdminURL, "`URL` of the admin API, or HOST:PORT on this machine")
	o.register(cmd, cmd.PersistentFlags())
	cmd.AddCommand(verbs...)
	for _, verb := range verbs {
		for flag, names := range map[string]completer{"vault": vaultNames, "consumer": consumerNames, "anonymous": consumerNames, "allow": groupNames, "deny": groupNames} {
			if verb.Flags().Lookup(flag) != nil {
				_ = verb.RegisterFlagCompletionFunc(flag, o.complete(names)) // it fails for a second one only
			}
		}
	}
	return cmd
}

// callsAdminAPI ends the help of the commands that call the admin API.
const callsAdminAPI = "\n\nIt calls the admin API of a running service. The environment stands in for flags:\n" +
	"  " + urlVariable + "     the URL of the admin API, for --admin\n" +
	"  " + tokenVariable + "   the bearer token, for --" + adminTokenFlag

// register adds the flags that say how to call the admin API, but for --admin, and how to
// print its answer.
func (o *operator) register(cmd *cobra.Command, f *pflag.FlagSet) {
	f.StringVar(&o.tokenFile, adminTokenFlag, "", "`FILE` with the bearer token for the admin API; - is standard input, here as for every file")
	o.tls.register(f)
	f.BoolVar(&o.insecure, "insecure", false, "send tokens and secrets over plain HTTP to a host that is not this one")
	f.StringVarP(&o.output, "output", "o", "table", "table, or json as the API answers")
	f.StringVar(&o.field, "field", "", "print the field `NAME` of the JSON answer only, like secret_token or consumer.id, a line for each item of a list")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for each answer")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// An action is what a verb does with its arguments.
type action func(context.Context, *session, []string) error

// verb returns a command that calls the admin API. Its arguments are those that use names,
// in brackets if they are optional.
func (o *operator) verb(use, short, example string, run action) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: named(use),
		ValidArgsFunction: o.completeArguments(use),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.open(cmd)
			if err != nil {
				return exitError{exitUsage, err}
			}
			err = s.explain(run(cmd.Context(), s, args))
			for _, warning := range s.answers.warnings {
				fmt.Fprintf(s.errs, "warning: %s\n", printable(warning))
			}
			return err
		},
	}
}

// named checks that the arguments are those that a usage line names.
func named(use string) cobra.PositionalArgs {
	names := strings.Fields(use)[1:]
	required := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n[0] == '[' })
	return func(cmd *cobra.Command, args []string) error {
		var err error
		switch {
		case len(args) < len(required):
			err = fmt.Errorf("give %s; see %s --help", strings.Join(required[len(args):], " and "), cmd.CommandPath())
		case len(args) > len(names):
			err = fmt.Errorf("unexpected argument %q; see %s --help", args[len(names)], cmd.CommandPath())
		case slices.Contains(args, ""):
			err = fmt.Errorf("an argument is empty; see %s --help", cmd.CommandPath())
		default:
			return nil
		}
		return exitError{exitUsage, err}
	}
}

// A session is one command line that calls the admin API.
type session struct {
	*api.Client
	cmd     *cobra.Command
	answers *answers
	// token, http and insecure are for calls at another address.
	token    string
	http     *http.Client
	insecure bool
	asJSON   bool
	// field is the field of the answer to print, "" for the whole answer.
	field     string
	in        io.Reader
	out, errs io.Writer
	// claimed is the flag that reads standard input, "" for no flag.
	claimed string
	// confirmed is set by --yes.
	confirmed bool
}

func (o *operator) open(cmd *cobra.Command) (*session, error) {
	if o.output != "table" && o.output != "json" {
		return nil, fmt.Errorf("--output: %q is neither table nor json", o.output)
	}
	at := o.url
	if v := o.p.variable(urlVariable); v != "" && !cmd.Flags().Changed("admin") {
		at = v
	}
	s := &session{
		cmd: cmd, asJSON: o.output == "json" || o.field != "", field: o.field, insecure: o.insecure,
		in: cmd.InOrStdin(), out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(),
	}
	var err error
	if s.token, err = o.token(cmd.Context(), s); err != nil {
		return nil, err
	}
	files, err := o.tls.read(s.pem)
	if err != nil {
		return nil, err
	}
	s.answers = &answers{next: &http.Transport{DialContext: dialHTTP, TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: files.Client("")}}
	s.http = &http.Client{
		Transport: s.answers, Timeout: o.timeout,
		// The token must not be sent to where a redirect points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, s.call(at)
}

// flag returns the value of a flag that takes a text.
func (s *session) flag(name string) string {
	value, _ := s.cmd.Flags().GetString(name)
	return value
}

// call makes the session call the admin API at an address.
func (s *session) call(at string) error {
	at, err := adminURL(at)
	if err != nil {
		return err
	}
	if s.Client, err = api.NewClient(at, s.token, s.http); err != nil {
		return err
	}
	if !s.insecure && !isPrivate(at) {
		return fmt.Errorf("%s: tokens and secrets would cross the network in the clear; use https://, or --insecure where the network is trusted", at)
	}
	return nil
}

func (o *operator) token(ctx context.Context, s *session) (string, error) {
	if o.tokenFile == "" {
		return strings.TrimSpace(o.p.variable(tokenVariable)), nil
	}
	return s.secret(ctx, adminTokenFlag, "Bearer token", o.tokenFile)
}
