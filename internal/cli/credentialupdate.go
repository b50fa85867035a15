package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// limits returns a verb that changes a credential and keeps its secret.
func (o *operator) limits(use, short, example string, fields func(*session) (map[string]any, error)) *cobra.Command {
	return ofVault(o.verb(use, short, example, func(ctx context.Context, s *session, args []string) error {
		changed, err := fields(s)
		if err != nil {
			return err
		}
		v, err := s.meantVault(ctx)
		if err != nil {
			return err
		}
		c, err := s.PatchCredential(ctx, v.ID, args[0], changed)
		if err != nil {
			return noCredential(err)
		}
		return s.showCredential(ctx, c)
	}))
}

func (o *operator) disableCredential(use, short string, disabled bool) *cobra.Command {
	return o.limits(use, short, "  vault-authz credential "+use+" --vault main",
		func(*session) (map[string]any, error) { return map[string]any{"disabled": disabled}, nil })
}

func (o *operator) updateCredential() *cobra.Command {
	cmd := o.limits("update ACCESS_TOKEN", "Change how long a credential is accepted",
		"  vault-authz credential update ACCESS_TOKEN --expires-at 2030-01-01T00:00:00Z\n"+
			"  vault-authz credential update ACCESS_TOKEN --expires-at 90d\n"+
			"  vault-authz credential update ACCESS_TOKEN --expires-at '' --ttl 30s",
		func(s *session) (map[string]any, error) {
			times := map[string]func(flag, value string) (*int64, error){"ttl": lifetime, "not-before": unix, "expires-at": unix}
			flags := slices.Sorted(maps.Keys(times))
			if err := something(s.cmd, nil, flags...); err != nil {
				return nil, err
			}
			fields := map[string]any{}
			for _, flag := range flags {
				if !s.cmd.Flags().Changed(flag) {
					continue
				}
				seconds, err := times[flag](flag, s.flag(flag))
				if err != nil {
					return nil, err
				}
				fields[strings.ReplaceAll(flag, "-", "_")] = seconds
			}
			return fields, nil
		})
	f := cmd.Flags()
	f.String("ttl", "", "`SPAN` after which it is read from Vault again, like 30s or 15m; empty for the default")
	f.String("not-before", "", "`TIME` before which it is refused: "+timeForms+"; empty for no such time")
	f.String("expires-at", "", "`TIME` from which on it is refused: "+timeForms+"; for the end of March 2030-04-01; empty for no such time")
	return cmd
}
