package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/vaults"
)

func configCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration",
		Example: "  vault-authz config validate -c vault-authz.yaml\n" +
			"  vault-authz config validate --connect -c vault-authz.yaml\n" +
			"  vault-authz config show -c vault-authz.yaml\n" +
			"  vault-authz config diff running.yaml new.yaml",
	}
	onlyVerbs(cmd)
	cmd.AddCommand(configShowCommand(p), configValidateCommand(p), configDiffCommand(p), &cobra.Command{
		Use:   "reference",
		Short: "Print the table of all settings (Markdown)",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
			return err
		},
	}, &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: "schema prints a JSON Schema that editors use to complete settings and to mark mistakes.\n" +
			"For yaml-language-server, write it to a file and begin the configuration with\n\n" +
			"  # yaml-language-server: $schema=vault-authz.schema.json",
		Example: "  vault-authz config schema > vault-authz.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	})
	return cmd
}

func configShowCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the effective configuration, defaults included and secrets left out",
		Args:  noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path, p.Environ)
		if err != nil {
			return err
		}
		text, err := c.Show()
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}

func configValidateCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and report every mistake",
		Long: "validate checks what serve checks before it starts, the environment too, and reports every mistake\n" +
			"with its line. The files that settings name are not read. It warns if there is no policy, and\n" +
			"if a policy governs because it is more specific than one that comes before it in the file.\n\n" +
			"With --connect it also does what serve would do first: it logs in to each vault object, reads\n" +
			"from it, renews the token, and says what to correct. It exits with 1 if a vault object cannot be used.\n" +
			"A wrapping token is good for one login, so a vault object with one is left alone.",
		Args: noArgs,
	}
	path := configFlag(cmd)
	online := cmd.Flags().Bool("connect", false, "log in to each vault object and read from it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path, p.Environ)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %d vault objects, %d consumers, %d policies\n",
			*path, len(c.Vaults), len(c.Consumers), len(c.Policies))
		for _, warning := range c.Warnings() {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", warning)
		}
		if err != nil || !*online {
			return err
		}
		return vaults.Connect(cmd.Context(), &c, cmd.OutOrStdout())
	}
	return cmd
}
