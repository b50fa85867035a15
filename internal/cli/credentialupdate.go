package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// limits returns a verb that changes a credential and keeps its secret.
func (o *operator) limits(use, short, example string, fields func(*cobra.Command) (map[string]any, error)) *cobra.Command {
	var vault string
	var cmd *cobra.Command
	cmd = o.verb(use, short, example, func(ctx context.Context, s *session, args []string) error {
		changed, err := fields(cmd)
		if err != nil {
			return err
		}
		id, err := s.vaultOr(ctx, vault)
		if err != nil {
			return err
		}
		c, err := s.PatchCredential(ctx, id, args[0], changed)
		if err != nil {
			return noCredential(err)
		}
		return s.showCredential(ctx, c)
	})
	return ofVault(cmd, &vault)
}

func (o *operator) disableCredential() *cobra.Command {
	return o.limits("disable ACCESS_TOKEN", "Refuse a credential until it is enabled again (lock it); nothing is deleted", "  vault-authz credential disable ACCESS_TOKEN --vault main",
		func(*cobra.Command) (map[string]any, error) { return map[string]any{"disabled": true}, nil })
}

func (o *operator) enableCredential() *cobra.Command {
	return o.limits("enable ACCESS_TOKEN", "Accept a disabled credential again", "  vault-authz credential enable ACCESS_TOKEN --vault main",
		func(*cobra.Command) (map[string]any, error) { return map[string]any{"disabled": false}, nil })
}

func (o *operator) updateCredential() *cobra.Command {
	var life, notBefore, expires string
	cmd := o.limits("update ACCESS_TOKEN", "Change how long a credential is accepted",
		"  vault-authz credential update ACCESS_TOKEN --expires-at 2030-01-01T00:00:00Z\n"+
			"  vault-authz credential update ACCESS_TOKEN --expires-at 90d\n"+
			"  vault-authz credential update ACCESS_TOKEN --expires-at '' --ttl 30s",
		func(cmd *cobra.Command) (map[string]any, error) {
			fields := map[string]any{}
			if cmd.Flags().Changed("ttl") {
				fields["ttl"] = nil
				if life != "" {
					seconds, err := lifetime("ttl", life)
					if err != nil {
						return nil, err
					}
					fields["ttl"] = seconds
				}
			}
			for flag, value := range map[string]string{"not-before": notBefore, "expires-at": expires} {
				if !cmd.Flags().Changed(flag) {
					continue
				}
				at, err := unix(flag, value, time.Now())
				if err != nil {
					return nil, err
				}
				fields[map[string]string{"not-before": "not_before", "expires-at": "expires_at"}[flag]] = at
			}
			if len(fields) == 0 {
				return nil, exitError{exitUsage, errors.New("nothing to change: give one of --expires-at, --not-before, --ttl; see vault-authz credential update --help")}
			}
			return fields, nil
		})
	f := cmd.Flags()
	f.StringVar(&life, "ttl", "", "`SPAN` after which it is read from Vault again, like 30s or 15m; empty for the default")
	f.StringVar(&notBefore, "not-before", "", "`TIME` before which it is refused: "+timeForms+"; empty for no such time")
	f.StringVar(&expires, "expires-at", "", "`TIME` from which on it is refused: "+timeForms+"; for the end of March 2030-04-01; empty for no such time")
	return cmd
}
