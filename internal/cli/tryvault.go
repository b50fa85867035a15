package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

// noCheckFlag adds --no-check.
func noCheckFlag(cmd *cobra.Command, skip *bool) {
	cmd.Flags().BoolVar(skip, "no-check", false, "do not check that the service can read the mount")
}

// try makes the service read an entry that does not exist. The answer "not found" proves that
// the server answers, accepts the token, and has a KV engine of the right version at the mount.
func (s *session) try(ctx context.Context, v api.Vault, done string) error {
	_, err := s.Credential(ctx, v.ID, "vault-authz.probe."+rand.Text())
	if err == nil || isNotFound(err) {
		return s.done("tried: the service can read the mount")
	}
	var problem *api.Problem
	if !errors.As(err, &problem) || problem.Cause == "" {
		return exitError{exitFailed, fmt.Errorf("vault object %q is %s; whether the service can read the mount is not known: %w", v.Name, done, s.explain(err))}
	}
	return exitError{exitFailed, fmt.Errorf("vault object %q is %s, and cannot be used: %s; see vault-authz vault update --help", v.Name, done, printable(problem.Cause))}
}
