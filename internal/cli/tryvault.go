package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// showAndTry shows a vault object, and makes the service try its connection unless --no-check is
// given.
func (s *session) showAndTry(ctx context.Context, v api.Vault, done string) error {
	if err := s.showVault(ctx, v); err != nil {
		return err
	}
	if skip, _ := s.cmd.Flags().GetBool("no-check"); skip {
		return nil
	}
	status, err := s.VaultStatus(ctx, v.ID)
	switch {
	case err != nil:
		return exitError{exitFailed, fmt.Errorf("vault object %q is %s; whether the service can read the mount is not known: %w", v.Name, done, s.explain(err))}
	case status.CanRead == nil:
		return exitError{exitFailed, fmt.Errorf("vault object %q is %s; whether the service can read the mount is not known: %s", v.Name, done, printable(status.Problem))}
	case !*status.CanRead:
		return exitError{exitFailed, fmt.Errorf("vault object %q is %s, and cannot be used: %s; see vault-authz vault update --help", v.Name, done, printable(status.Problem))}
	}
	return s.done("tried: the service can read the mount")
}

// vaultStatus fails if the service cannot read the mount, or does not know.
func vaultStatus(ctx context.Context, s *session, args []string) error {
	status, err := s.VaultStatus(ctx, args[0])
	if err := unknown(err, "vault object", args[0]); err != nil {
		return err
	}
	if err := s.one(
		row{"reachable", yesNo(status.Reachable)}, row{"sealed", yesNo(status.Sealed)}, row{"standby", yesNo(status.Standby)},
		row{"authenticated", yesNo(status.Authenticated)}, row{"token ends in", seconds(status.TokenTTL)},
		row{"can read", yesNo(status.CanRead)}, row{"can list", yesNo(status.CanList)}, row{"read took", milliseconds(status.Latency)},
		row{"problem", status.Problem},
	); err != nil {
		return err
	}
	if status.CanRead == nil || !*status.CanRead {
		return exitError{exitFailed, errSilent}
	}
	return nil
}

func seconds(n *int64) string {
	if n == nil {
		return ""
	}
	return (time.Duration(*n) * time.Second).String()
}

func milliseconds(n *float64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("%g ms", *n)
}
