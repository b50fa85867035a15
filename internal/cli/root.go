package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/version"
)

func rootCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault-authz",
		Short: "Envoy external authorization by token pairs in Vault",
		Long: "vault-authz answers Envoy's external authorization calls: it finds an access token and a\n" +
			"secret token in a request, looks the access token up in the KV engine of Vault or OpenBao,\n" +
			"and answers with the consumer's headers or a denial.",
		Example: "  vault-authz dev                                      try it, everything in memory\n" +
			"  vault-authz serve --config config.yaml                run it\n" +
			"  vault-authz check -H 'access-token: demo' -H 'secret-token: demo-secret' http://example.com/",
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	onlyVerbs(cmd)
	cmd.SetArgs(p.Args)
	cmd.SetOut(p.Stdout)
	cmd.SetErr(p.Stderr)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exitError{exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	cmd.AddCommand(
		serveCommand(p), devCommand(p), checkCommand(p), configCommand(p), healthcheckCommand(p),
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(c.OutOrStdout(), c.Root().Name(), "version", version.String()) // as --version does
				return err
			},
		},
	)
	cmd.AddCommand(operatorCommands(p)...)
	cmd.AddCommand(importCommand(p))
	// cobra would add it later, and answer anything with its help.
	cmd.InitDefaultCompletionCmd()
	if completion, _, err := cmd.Find([]string{"completion"}); err == nil {
		onlyVerbs(completion)
	}
	return cmd
}

// noArgs refuses arguments with the exit code for wrong usage.
func noArgs(c *cobra.Command, args []string) error { return named(c.Name())(c, args) }

// onlyVerbs makes cmd a command that only has verbs: without a verb it prints its help, and an
// unknown verb is wrong usage.
func onlyVerbs(cmd *cobra.Command) {
	// The distance of cobra's own suggestions.
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		meant := ""
		if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
			meant = fmt.Sprintf(", did you mean %s?", strings.Join(names, " or "))
		}
		return exitError{exitUsage, fmt.Errorf("unknown command %q%s; see %s --help", args[0], meant, cmd.CommandPath())}
	}
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "/etc/vault-authz/config.yaml", "configuration `FILE`")
}

// variablesHelp lists the settings that can be given in the environment.
func variablesHelp() string {
	var b strings.Builder
	b.WriteString("\nThe environment beats the file:\n")
	for _, v := range config.Variables() {
		fmt.Fprintf(&b, "  %-36s %s\n", v.Name, v.Setting)
	}
	return b.String()
}
