package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEachCommandSaysOnceThatNobodyIsThere: what to do about an error is said once.
func TestEachCommandSaysOnceThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	said := 0
	var try func(cmd *cobra.Command)
	try = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			try(sub)
		}
		if cmd.HasSubCommands() || cmd.Flag("admin") == nil {
			return
		}
		args := strings.Fields(cmd.CommandPath())[1:]
		for _, name := range strings.Fields(cmd.Use)[1:] {
			if strings.HasPrefix(name, "FILE") {
				name = file(t, []byte(`{"_format_version":"3.0","consumers":[{"username":"alice"}]}`))
			}
			args = append(args, name)
		}
		if cmd.Flag("yes") != nil {
			args = append(args, "--yes")
		}
		code, out, errs := operate(t, nil, append(args, "--admin", "http://127.0.0.1:1")...)
		switch n := strings.Count(errs, "is vault-authz running there?"); {
		case n == 1:
			said++
		case n > 1 || code != exitUsage:
			t.Errorf("%s: exit %d, and %d times what to do: %s%s", strings.Join(args, " "), code, n, out, errs)
		}
	}
	try(rootCommand(Process{}))
	if said < 20 {
		t.Errorf("%d commands asked the admin API, want nearly all", said)
	}
}
