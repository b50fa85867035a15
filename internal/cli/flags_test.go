package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestTheHelpOfAFlagSpeaksForItself: flags are sorted by name, so what one says cannot refer to
// the one before, and what the settings of a table share has to be said by each.
func TestTheHelpOfAFlagSpeaksForItself(t *testing.T) {
	t.Parallel()
	flags := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			look(sub)
		}
		says := map[string]string{}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			flags++
			value, usage := pflag.UnquoteUsage(f)
			if other, same := says[usage]; same && usage != value {
				t.Errorf("%s: --%s and --%s say the same: %s", cmd.CommandPath(), other, f.Name, usage)
			}
			says[usage] = f.Name
			first, _, _ := strings.Cut(f.Usage, " ")
			if usage == "" || first == "of" || first == "while" || strings.Contains(usage, "as above") || strings.Contains(usage, "flags below") {
				t.Errorf("%s: what --%s says is a part of something: %s", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
	}
	look(rootCommand(Process{}))
	if flags < 200 {
		t.Errorf("%d flags, want at least 200", flags)
	}
}
