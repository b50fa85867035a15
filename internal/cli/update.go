package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/internal/admin"
)

// changes are the fields that flags were given for. An empty value unsets the
// field, and a list is replaced as a whole. fields has the name of the field for
// each flag; other flags are left out.
func changes(f *pflag.FlagSet, fields map[string]string) map[string]any {
	out := map[string]any{}
	f.Visit(func(flag *pflag.Flag) {
		field, ok := fields[flag.Name]
		if !ok {
			return
		}
		// The types are those that the flags were made with.
		switch flag.Value.Type() {
		case "bool":
			out[field], _ = f.GetBool(flag.Name)
		case "int":
			out[field], _ = f.GetInt(flag.Name)
		case "stringArray":
			items, _ := f.GetStringArray(flag.Name)
			out[field] = orUnset(slices.DeleteFunc(items, func(s string) bool { return s == "" }))
		default:
			out[field] = nil
			if value := flag.Value.String(); value != "" {
				out[field] = value
			}
		}
	})
	return out
}

func orUnset(items []string) any {
	if len(items) == 0 {
		return nil
	}
	return items
}

// nested moves fields into a record of that name.
func nested(fields map[string]any, record string, names ...string) {
	inner := map[string]any{}
	for _, name := range names {
		if value, given := fields[name]; given {
			inner[name] = value
			delete(fields, name)
		}
	}
	if len(inner) > 0 {
		fields[record] = inner
	}
}

// something refuses an update that says nothing.
func something(cmd *cobra.Command, fields map[string]any, flags map[string]string) error {
	if len(fields) > 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(flags))
	return exitError{exitUsage, fmt.Errorf("nothing to change: give one of --%s; see %s --help", strings.Join(names, ", --"), cmd.CommandPath())}
}

const unsetting = "\n\nWhat no flag is given for stays. An empty value, like --tag '', unsets a field; a list is replaced as a whole."

var consumerFlags = map[string]string{"username": "username", "custom-id": "custom_id", "tag": "tags"}

func (o *operator) updateConsumer() *cobra.Command {
	var cmd *cobra.Command
	cmd = o.verb("update CONSUMER", "Change a consumer, by id or username",
		"  vault-authz consumer update alice --custom-id crm-18\n  vault-authz consumer update alice --username alicia --tag ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := changes(cmd.Flags(), consumerFlags)
			if err := something(cmd, fields, consumerFlags); err != nil {
				return err
			}
			c, err := s.Consumers.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(err, "consumer list", "there is no consumer %q", args[0])
			}
			return s.showConsumer(c)
		})
	cmd.Long = "update changes a consumer. Its credentials stay good under another username." + unsetting
	f := cmd.Flags()
	f.String("username", "", "`NAME` to have from now on")
	f.String("custom-id", "", "`ID` that it has elsewhere")
	f.StringArray("tag", nil, "`TAG`, any number of times")
	return cmd
}

var vaultFlags = map[string]string{
	"name": "name", "address": "address", "mount": "mount", "prefix": "prefix", "kv": "kv", "namespace": "namespace", vaultTokenFlag: "vault_token",
}

func (o *operator) updateVault() *cobra.Command {
	var cmd *cobra.Command
	var noCheck bool
	cmd = o.verb("update VAULT", "Change a vault object, by id or name",
		"  vault-authz vault update main --vault-token-file token\n"+
			"  vault-authz vault update main --address https://vault.internal:8200 --vault-token-file -",
		func(ctx context.Context, s *session, args []string) error {
			fields := changes(cmd.Flags(), vaultFlags)
			if err := something(cmd, fields, vaultFlags); err != nil {
				return err
			}
			if err := s.vaultChanges(ctx, fields); err != nil {
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
		"the KV version or the namespace changes: it is used where it was given for, and nowhere else. The service then tries to read the mount." + unsetting
	noCheckFlag(cmd, &noCheck)
	f := cmd.Flags()
	f.String("name", "", "`NAME` to have from now on")
	f.String("address", "", "`URL` of the Vault, like https://vault.internal:8200")
	f.String("mount", "", "`PATH` at which the KV engine is mounted")
	f.String("prefix", "", "`FOLDER` in the mount that the credentials are in")
	f.String("kv", "", "v1 or v2, the version of the KV engine")
	f.String("namespace", "", "`NAMESPACE` of the Vault")
	f.String(vaultTokenFlag, "", "`FILE` with the Vault token, - for standard input")
	return cmd
}

// tokenAgain says how to give the token that the API asks for.
func tokenAgain(err error) error {
	var problem *admin.Problem
	if !errors.As(err, &problem) || problem.Fields["vault_token"] == nil {
		return err
	}
	hinted := *problem
	hinted.Message += "; give it with --vault-token-file"
	return &hinted
}

// vaultChanges takes the address apart and reads the token.
func (s *session) vaultChanges(ctx context.Context, fields map[string]any) error {
	if address, given := fields["address"]; given {
		var v admin.Vault
		text, _ := address.(string)
		if err := locate(&v, text); err != nil {
			return exitError{exitUsage, fmt.Errorf("--address: %w", err)}
		}
		delete(fields, "address")
		fields["protocol"], fields["host"], fields["port"] = v.Protocol, v.Host, v.Port
	}
	if from, given := fields["vault_token"]; given {
		name, _ := from.(string)
		if name == "" {
			return exitError{exitUsage, errors.New("--vault-token-file: give a file, or - for standard input")}
		}
		token, err := s.secret(ctx, vaultTokenFlag, "Vault token", name)
		if err != nil {
			return err
		}
		fields["vault_token"] = token
	}
	return nil
}

var policyFlagNames = map[string]string{
	"name": "name", "vault": "vault", "host": "hosts", "path": "paths", "ignore-case": "ignore_case", "priority": "priority", "allow": "allow", "deny": "deny",
	"access-token-name": "access_token_name", "secret-token-name": "secret_token_name",
	"authorization-scheme": "authorization_scheme", "preflight": "preflight", "on-error": "on_error", "tag": "tags", "anonymous": "anonymous", "realm": "realm",
	"default": "default", "tokens-in-body": "tokens_in_body", "body-credentials-visible": "body_credentials_visible",
	"hide-credentials": "hide_credentials", "hide-credential-identifier": "hide_credential_identifier",
	"hide-groups-header": "hide_groups_header", "run-on-preflight": "run_on_preflight", "shadow": "shadow",
}

func (o *operator) updatePolicy() *cobra.Command {
	var cmd *cobra.Command
	cmd = o.verb("update POLICY", "Change a policy, by id or name",
		"  vault-authz policy update orders --allow staff --allow partners\n"+
			"  vault-authz policy update orders --shadow=false --path ''",
		func(ctx context.Context, s *session, args []string) error {
			fields := changes(cmd.Flags(), policyFlagNames)
			if err := something(cmd, fields, policyFlagNames); err != nil {
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
				fields["vault"] = admin.Ref{ID: id}
			}
			nested(fields, "acl", "allow", "deny")
			p, err := s.Policies.Patch(ctx, args[0], fields)
			if err != nil {
				return missing(err, "policy list", "there is no policy %q", args[0])
			}
			return s.showPolicy(ctx, p)
		})
	cmd.Long = "update changes a policy. An option that is unset has the default of the service again." + unsetting
	cmd.Flags().String("name", "", "`NAME` to have from now on")
	policyFlags(cmd.Flags(), &admin.Policy{}, &admin.PolicyACL{}, new(string))
	return cmd
}
