package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

func vaultCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("vault", "Vault objects: where credentials are kept",
		"vault lists, shows, tries, creates, changes and deletes vault objects: a mount of a Vault, and how it is reached.",
		"  vault-authz vault list\n"+
			"  vault-authz vault create main --address https://vault.internal:8200 --mount vault-auth --vault-token-file token\n"+
			"  vault-authz vault delete main",
		o.verb("list", "List vault objects", "  vault-authz vault list\n  vault-authz vault list -o json", listVaults),
		o.verb("get VAULT", "Show a vault object, by id or name", "  vault-authz vault get main", getVault),
		o.verb("status VAULT", "Try the connection of a vault object, and say what is wrong with it", "  vault-authz vault status main", vaultStatus),
		o.createVault(),
		o.updateVault(),
		o.destructive("delete VAULT", "Delete a vault object that no policy refers to; what is in the Vault stays",
			"  vault-authz vault delete main --yes", deleteVault),
	)
}

func listVaults(ctx context.Context, s *session, _ []string) error {
	all, err := s.Vaults.List(ctx)
	if err != nil {
		return err
	}
	var lines [][]string
	for _, v := range all {
		lines = append(lines, []string{v.Name, vaultAddress(v), v.Mount, text(v.Prefix), v.KV, text(v.Namespace), v.ID})
	}
	return s.many([]string{"NAME", "ADDRESS", "MOUNT", "PREFIX", "KV", "NAMESPACE", "ID"}, lines)
}

func vaultAddress(v api.Vault) string {
	u := url.URL{Scheme: v.Protocol, Host: v.Host}
	switch {
	case v.Host == "":
		return ""
	case v.Port != 0:
		u.Host = net.JoinHostPort(strings.Trim(v.Host, "[]"), strconv.Itoa(v.Port))
	}
	return u.String()
}

func getVault(ctx context.Context, s *session, args []string) error {
	v, err := s.vault(ctx, args[0])
	if err != nil {
		return err
	}
	return s.showVault(v)
}

func (s *session) vault(ctx context.Context, idOrName string) (api.Vault, error) {
	v, err := s.Vaults.Get(ctx, idOrName)
	return v, missing(err, "vault list", "there is no vault object %q", idOrName)
}

func (s *session) showVault(v api.Vault) error {
	options := slices.DeleteFunc(vaultOptions(), func(o api.Field) bool { return slices.Contains([]string{"name", "protocol", "host", "port"}, o.Name) })
	rows := append([]row{{"name", v.Name}, {"address", vaultAddress(v)}}, optionRows(options, api.Values(options, &v), nil)...)
	return s.one(append(rows, row{"id", v.ID}, row{"created", instant(v.CreatedAt)}, row{"updated", instant(v.UpdatedAt)})...)
}

func (o *operator) createVault() *cobra.Command {
	var id, address, from string
	var noCheck bool
	options := vaultOptions()
	var cmd *cobra.Command
	cmd = o.verb("create NAME", "Create a vault object",
		"  vault-authz vault create main --address https://vault.internal:8200 --mount vault-auth --kv v2 --vault-token-file token\n"+
			"  vault print token | vault-authz vault create main --address https://vault.internal:8200 --mount vault-auth --vault-token-file -",
		func(ctx context.Context, s *session, args []string) error {
			v := api.Read[api.Vault](options, given(cmd.Flags(), options))
			if address == "" || v.Mount == "" || from == "" {
				return exitError{exitUsage, errors.New("give --address, --mount and --vault-token-file; see vault-authz vault create --help")}
			}
			if err := locate(&v, address); err != nil {
				return exitError{exitUsage, fmt.Errorf("--address: %w", err)}
			}
			token, err := s.vaultToken(ctx, from)
			if err != nil {
				return err
			}
			v.ID, v.Name, v.VaultToken = id, args[0], token
			created, err := s.Vaults.Create(ctx, v)
			if err != nil {
				return err
			}
			if err := s.showVault(created); err != nil || noCheck {
				return err
			}
			return s.try(ctx, created, "made")
		})
	cmd.Long = "create makes a vault object, and has the service try to read the mount. Where that fails it says why and exits with 1;\n" +
		"the vault object is there all the same, to be changed by update or deleted."
	noCheckFlag(cmd, &noCheck)
	cmd.Flags().StringVar(&id, "id", "", "`UUID` to create it under, random by default")
	addOptionFlags(cmd.Flags(), options, "name")
	vaultFlags(cmd, &address, &from)
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

// vaultFlags are the options of a vault object that are not written as they are.
func vaultFlags(cmd *cobra.Command, address, tokenFile *string) {
	cmd.Flags().StringVar(address, "address", "", "`URL` of the Vault, like https://vault.internal:8200")
	cmd.Flags().StringVar(tokenFile, vaultTokenFlag, "", "`FILE` with the Vault token, - for standard input")
}

// locate sets protocol, host and port from a URL: vault objects keep them apart.
func locate(v *api.Vault, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("give http:// or https:// with a host, a port and nothing else, like https://vault.internal:8200")
	}
	v.Protocol, v.Host = u.Scheme, u.Hostname()
	if v.Port, err = strconv.Atoi(u.Port()); err != nil {
		return errors.New("it has no port; that of Vault is 8200 unless configured otherwise")
	}
	return nil
}

func deleteVault(ctx context.Context, s *session, args []string) error {
	v, err := s.vault(ctx, args[0])
	if err != nil {
		return err
	}
	if err := s.confirm(ctx, "Delete vault object %q (%s)? What is in the Vault stays.", args[0], v.ID); err != nil {
		return err
	}
	if err := s.Vaults.Delete(ctx, v.ID); err != nil {
		return err
	}
	return s.done("vault object %q is deleted", args[0])
}
