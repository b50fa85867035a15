package cli

import (
	"context"
	"errors"
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
		o.verb("get VAULT", "Show a vault object, by id or name", "  vault-authz vault get main", get((*session).vault, (*session).showVault)),
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

func (s *session) vault(ctx context.Context, idOrName string) (api.Vault, error) {
	v, err := s.Vaults.Get(ctx, idOrName)
	return v, unknown(err, "vault object", idOrName)
}

func (s *session) showVault(_ context.Context, v api.Vault) error {
	options := slices.DeleteFunc(vaultOptions(), func(o api.Field) bool { return slices.Contains([]string{"name", "protocol", "host", "port"}, o.Name) })
	rows := append([]row{{"name", v.Name}, {"address", vaultAddress(v)}}, optionRows(options, api.Values(options, &v), nil)...)
	return s.showEntity(rows, v.ID, v.CreatedAt, v.UpdatedAt)
}

func (o *operator) createVault() *cobra.Command {
	options := vaultOptions()
	cmd := o.create("create NAME", "Create a vault object",
		"  vault-authz vault create main --address https://vault.internal:8200 --mount vault-auth --kv v2 --vault-token-file token\n"+
			"  vault print token | vault-authz vault create main --address https://vault.internal:8200 --mount vault-auth --vault-token-file -",
		options, "name",
		func(ctx context.Context, s *session, args []string, fields map[string]any) error {
			v := api.Read[api.Vault](options, fields)
			address, from := s.flag("address"), s.flag(vaultTokenFlag)
			if address == "" || v.Mount == "" || from == "" {
				return exitError{exitUsage, errors.New("give --address, --mount and --vault-token-file; see vault-authz vault create --help")}
			}
			if err := locate(&v, address); err != nil {
				return err
			}
			token, err := s.vaultToken(ctx, from)
			if err != nil {
				return err
			}
			v.Name, v.VaultToken = args[0], token
			created, err := s.Vaults.Create(ctx, v)
			if err != nil {
				return err
			}
			return s.showAndTry(ctx, created, "made")
		})
	cmd.Long = "create makes a vault object, and has the service try to read the mount. Where that fails it says why and exits with 1;\n" +
		"the vault object stays, so that you can change it with update, or delete it."
	vaultFlags(cmd)
	return cmd
}

func (o *operator) updateVault() *cobra.Command {
	cmd := o.update("update VAULT", "Change a vault object, by id or name",
		"update changes a vault object. The Vault token has to be given again where the address, the mount, the prefix,\n"+
			"the KV version or the namespace changes: it is used only where it was given for. The service then tries to read the mount.",
		"  vault-authz vault update main --vault-token-file token\n"+
			"  vault-authz vault update main --address https://vault.internal:8200 --vault-token-file -",
		vaultOptions(), []string{"address", vaultTokenFlag},
		func(ctx context.Context, s *session, name string, fields map[string]any) error {
			if s.cmd.Flags().Changed("address") {
				var v api.Vault
				if err := locate(&v, s.flag("address")); err != nil {
					return err
				}
				fields["protocol"], fields["host"], fields["port"] = v.Protocol, v.Host, v.Port
			}
			if s.cmd.Flags().Changed(vaultTokenFlag) {
				token, err := s.vaultToken(ctx, s.flag(vaultTokenFlag))
				if err != nil {
					return err
				}
				fields["vault_token"] = token
			}
			v, err := s.Vaults.Patch(ctx, name, fields)
			if err != nil {
				return unknown(tokenAgain(err), "vault object", name)
			}
			return s.showAndTry(ctx, v, "changed")
		})
	vaultFlags(cmd)
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

// vaultToken reads the token of a vault object.
func (s *session) vaultToken(ctx context.Context, from string) (string, error) {
	if from == "" {
		return "", exitError{exitUsage, errors.New("--vault-token-file: give a file, or - for standard input")}
	}
	return s.secret(ctx, vaultTokenFlag, "Vault token", from)
}

// vaultFlags are the options of a vault object that are not written as they are, and --no-check.
func vaultFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("address", "", "`URL` of the Vault, like https://vault.internal:8200")
	f.String(vaultTokenFlag, "", "`FILE` with the Vault token, - for standard input")
	f.Bool("no-check", false, "do not check that the service can read the mount")
}

// locate sets protocol, host and port from --address: vault objects keep them apart.
func locate(v *api.Vault, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return exitError{exitUsage, errors.New("--address: give http:// or https:// with a host, a port and nothing else, like https://vault.internal:8200")}
	}
	v.Protocol, v.Host = u.Scheme, u.Hostname()
	if v.Port, err = strconv.Atoi(u.Port()); err != nil {
		return exitError{exitUsage, errors.New("--address: it has no port; that of Vault is 8200 unless configured otherwise")}
	}
	return nil
}

func deleteVault(ctx context.Context, s *session, args []string) error {
	v, err := s.vault(ctx, args[0])
	if err != nil {
		return err
	}
	return remove(ctx, s, s.Vaults, "vault object", args[0], v.ID, "Delete vault object %q (%s)? What is in the Vault stays.")
}
