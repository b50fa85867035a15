package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/config"
)

func configDiffCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff OLD NEW | diff --running URL NEW",
		Short: "Show what a reload would change",
		Long: "diff compares two configuration files and shows what changes in a service that runs by OLD when it\n" +
			"reads NEW, and which settings need a restart. It shows no secrets.\n\n" +
			"With --running it compares NEW with the configuration that a service goes by now. The service shows that\n" +
			"with debug.enabled, to clients on its machine. Run the command with the environment variables of the\n" +
			"service, which take precedence over NEW. Secrets are not compared: of a Vault token only the file or the\n" +
			"variable that it comes from.\n\n" +
			"It exits with 0 if there is no difference, 1 if there are some, 2 if a file cannot be used.",
		Example: "  vault-authz config diff running.yaml new.yaml\n" +
			"  vault-authz config diff --running http://localhost:9193 new.yaml",
	}
	running := cmd.Flags().String("running", "", "`URL` of the probes of a service to compare with, instead of OLD")
	var t clientTLS
	t.register(cmd.Flags())
	cmd.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case *running == "" && len(args) != 2:
			return exitError{exitUsage, fmt.Errorf("give two files; see %s --help", cmd.CommandPath())}
		case *running != "" && len(args) != 1:
			return exitError{exitUsage, fmt.Errorf("with --running give one file; see %s --help", cmd.CommandPath())}
		}
		return nil
	}
	output := cmd.Flags().StringP("output", "o", "text", "text, or json for scripts")
	run := func(cmd *cobra.Command, args []string) error {
		if *output != "text" && *output != "json" {
			return fmt.Errorf("--output: %q is neither text nor json", *output)
		}
		var old config.Config
		var err error
		if *running != "" {
			old, err = runningConfig(cmd.Context(), *running, &t)
		} else {
			old, err = config.Load(args[0], p.Environ)
		}
		if err != nil {
			return err
		}
		found, err := configDiff(&old, args[len(args)-1], p.Environ)
		if err != nil {
			return err
		}
		if *output == "json" {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(found)
		} else {
			err = writeDifferences(cmd.OutOrStdout(), found)
		}
		if err == nil && len(found) > 0 {
			err = exitError{exitFailed, errSilent}
		}
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return orUsage(run(cmd, args)) }
	return cmd
}

// configDiff returns what a file would change, an empty list for nothing.
func configDiff(running *config.Config, after string, environ []string) ([]config.Difference, error) {
	next, err := config.Load(after, environ)
	if err != nil {
		return nil, err
	}
	if _, err := running.Reloaded(&next); err != nil {
		return nil, fmt.Errorf("%q cannot be used without a restart, together with the settings in use that need one:\n%w", after, err)
	}
	return append([]config.Difference{}, running.Diff(&next)...), nil
}

func writeDifferences(w io.Writer, found []config.Difference) error {
	signs := map[string]string{config.Added: "+", config.Changed: "~", config.Removed: "-"}
	for _, d := range found {
		line := signs[d.Kind] + " " + d.Setting
		if d.From != "" || d.To != "" {
			line += fmt.Sprintf(": %q -> %q", d.From, d.To)
		}
		if d.Restart {
			line += " (needs a restart)"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
