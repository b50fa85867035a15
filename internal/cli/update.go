package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

const unsetting = "\n\nWhat no flag is given for stays. An empty value, like --tag '', unsets a field; a list is replaced as a whole."

func (o *operator) updateConsumer() *cobra.Command {
	var cmd *cobra.Command
	options := consumerOptions()
	cmd = o.verb("update CONSUMER", "Change a consumer, by id or username",
		"  vault-authz consumer update alice --custom-id crm-18\n  vault-authz consumer update alice --username alicia --tag ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := given(cmd.Flags(), options)
			if err := something(cmd, fields, options); err != nil {
				return err
			}
			c, err := s.Consumers.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(err, "consumer list", "there is no consumer %q", args[0])
			}
			return s.showConsumer(c)
		})
	cmd.Long = "update changes a consumer. Its credentials stay good under another username." + unsetting
	addOptionFlags(cmd.Flags(), options)
	return cmd
}

func (o *operator) updateVault() *cobra.Command {
	var cmd *cobra.Command
	var noCheck bool
	var address, from string
	options := vaultOptions()
	cmd = o.verb("update VAULT", "Change a vault object, by id or name",
		"  vault-authz vault update main --vault-token-file token\n"+
			"  vault-authz vault update main --address https://vault.internal:8200 --vault-token-file -",
		func(ctx context.Context, s *session, args []string) error {
			fields := given(cmd.Flags(), options)
			if cmd.Flags().Changed("address") {
				if err := moved(fields, address); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed(vaultTokenFlag) {
				token, err := s.vaultToken(ctx, from)
				if err != nil {
					return err
				}
				fields["vault_token"] = token
			}
			if err := something(cmd, fields, options, "address", vaultTokenFlag); err != nil {
				return err
			}
			v, err := s.Vaults.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(tokenAgain(err), "vault list", "there is no vault object %q", args[0])
			}
			if err := s.showVault(v); err != nil || noCheck {
				return err
			}
			return s.try(ctx, v, "changed")
		})
	cmd.Long = "update changes a vault object. The Vault token has to be given again where the address, the mount, the prefix,\n" +
		"the KV version or the namespace changes: it is used only where it was given for. The service then tries to read the mount." + unsetting
	noCheckFlag(cmd, &noCheck)
	addOptionFlags(cmd.Flags(), options)
	vaultFlags(cmd, &address, &from)
	return cmd
}

// tokenAgain says how to give the token that the API asks for.
func tokenAgain(err error) error {
	var problem *api.Problem
	if !errors.As(err, &problem) || problem.Fields["vault_token"] == nil {
		return err
	}
	hinted := *problem
	hinted.Message += "; give it with --vault-token-file"
	return &hinted
}

// moved adds the parts of a new address to fields.
func moved(fields map[string]any, address string) error {
	var v api.Vault
	if err := locate(&v, address); err != nil {
		return exitError{exitUsage, fmt.Errorf("--address: %w", err)}
	}
	fields["protocol"], fields["host"], fields["port"] = v.Protocol, v.Host, v.Port
	return nil
}

// vaultToken reads the token of a vault object.
func (s *session) vaultToken(ctx context.Context, from string) (string, error) {
	if from == "" {
		return "", exitError{exitUsage, errors.New("--vault-token-file: give a file, or - for standard input")}
	}
	return s.secret(ctx, vaultTokenFlag, "Vault token", from)
}

func (o *operator) updatePolicy() *cobra.Command {
	var cmd *cobra.Command
	options := policyOptions()
	cmd = o.verb("update POLICY", "Change a policy, by id or name",
		"  vault-authz policy update orders --allow staff --allow partners\n"+
			"  vault-authz policy update orders --shadow=false --path ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := given(cmd.Flags(), options)
			if err := something(cmd, fields, options); err != nil {
				return err
			}
			if name, given := fields["vault"]; given {
				text, _ := name.(string)
				if text == "" {
					return exitError{exitUsage, errors.New("--vault: a policy cannot be without a vault object; give its name")}
				}
				id, err := s.vaultOr(ctx, text)
				if err != nil {
					return err
				}
				fields["vault"] = api.Ref{ID: id}
			}
			p, err := s.Policies.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(err, "policy list", "there is no policy %q", args[0])
			}
			return s.showPolicy(ctx, p)
		})
	cmd.Long = "update changes a policy. An option that is unset has the default of the service again." + unsetting
	addOptionFlags(cmd.Flags(), options)
	return cmd
}
