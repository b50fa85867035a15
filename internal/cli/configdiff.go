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
		Use:   "diff OLD NEW",
		Short: "Show what a reload would change",
		Long: "diff compares two configuration files and shows what changes in a service that runs by OLD when it\n" +
			"reads NEW, and which settings need a restart. It shows no secrets.\n\n" +
			"It exits with 0 if there is no difference, 1 if there are some, 2 if a file cannot be used.",
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 2 {
			return exitError{exitUsage, fmt.Errorf("give two files; see %s --help", cmd.CommandPath())}
		}
		return nil
	}
	output := cmd.Flags().StringP("output", "o", "text", "text, or json for scripts")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output != "text" && *output != "json" {
			return exitError{exitUsage, fmt.Errorf("--output: %q is neither text nor json", *output)}
		}
		found, err := configDiff(args[0], args[1], p.Environ)
		if err != nil {
			return exitError{exitUsage, err}
		}
		write := writeDifferences
		if *output == "json" {
			write = func(w io.Writer, found []config.Difference) error { return json.NewEncoder(w).Encode(found) }
		}
		if err := write(cmd.OutOrStdout(), found); err != nil {
			return exitError{exitUsage, err}
		}
		if len(found) > 0 {
			return exitError{exitFailed, errSilent}
		}
		return nil
	}
	return cmd
}

// configDiff returns the differences of two files, an empty list for none.
func configDiff(before, after string, environ []string) ([]config.Difference, error) {
	running, err := config.Load(before, environ)
	if err != nil {
		return nil, err
	}
	next, err := config.Load(after, environ)
	if err != nil {
		return nil, err
	}
	if _, err := running.Reloaded(&next); err != nil {
		return nil, fmt.Errorf("%q cannot be used without a restart, together with the settings of %q that need one:\n%w", after, before, err)
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
