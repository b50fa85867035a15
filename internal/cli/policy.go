package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/internal/admin"
)

func policyCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("policy", "Policies: which requests are authenticated, and how",
		"policy lists, shows, creates, changes and deletes policies. Where a route names none, the most\n"+
			"specific one governs: by the host that matches (a name, then the longest wildcard, then none), then\n"+
			"by the longest path, then by priority; else the default. Without a default the request is denied.",
		"  vault-authz policy list\n"+
			"  vault-authz policy create orders --vault main --path /orders --allow staff\n"+
			"  vault-authz policy delete orders",
		o.verb("list", "List policies, the most specific first", "  vault-authz policy list\n  vault-authz policy list -o json", listPolicies),
		o.verb("get POLICY", "Show a policy, by id or name", "  vault-authz policy get orders", getPolicy),
		o.createPolicy(),
		o.updatePolicy(),
		o.destructive("delete POLICY", "Delete a policy", "  vault-authz policy delete orders --yes", deletePolicy),
	)
}

func listPolicies(ctx context.Context, s *session, _ []string) error {
	all, err := s.Policies.List(ctx)
	if err != nil {
		return err
	}
	vaults, err := s.vaultNames(ctx)
	if err != nil {
		return err
	}
	global, err := s.globalACL(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b admin.Policy) int { return a.Selection().Compare(b.Selection()) })
	var lines [][]string
	for _, p := range all {
		allow, deny := groupsOf(p, global)
		lines = append(lines, []string{p.Name, yesNo(p.Default), list(p.Hosts), list(p.Paths), strconv.Itoa(p.Selection().Priority), vaults.of(p.Vault), allow, deny, p.ID})
	}
	return s.many([]string{"NAME", "DEFAULT", "HOSTS", "PATHS", "PRIORITY", "VAULT", "ALLOW", "DENY", "ID"}, lines)
}

// groupsOf are the groups that a policy lets in or keeps out: its own, or else those of
// the acl plugin, which says that it is.
func groupsOf(p admin.Policy, global *admin.PluginConfig) (allow, deny string) {
	switch {
	case p.ACL != nil && len(p.ACL.Allow)+len(p.ACL.Deny) > 0:
		return list(p.ACL.Allow), list(p.ACL.Deny)
	case global == nil:
		return "", ""
	case len(global.Allow) > 0:
		return list(global.Allow) + byPlugin, ""
	}
	return "", list(global.Deny) + byPlugin
}

const byPlugin = " (plugin acl)"

// globalACL is what the acl plugin says, nil if there is none. JSON has only what a policy
// says itself.
func (s *session) globalACL(ctx context.Context) (*admin.PluginConfig, error) {
	if s.asJSON {
		return nil, nil //nolint:nilnil // no plugin is an answer, not a failure
	}
	all, err := s.Plugins.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == pluginACL {
			return &all[i].Config, nil
		}
	}
	return nil, nil //nolint:nilnil // as above
}

// vaultNames makes tables readable. JSON has the ids.
func (s *session) vaultNames(ctx context.Context) (names, error) {
	if s.asJSON {
		return nil, nil
	}
	all, err := s.Vaults.List(ctx)
	if err != nil {
		return nil, err
	}
	n := names{}
	for _, v := range all {
		n[v.ID] = v.Name
	}
	return n, nil
}

func getPolicy(ctx context.Context, s *session, args []string) error {
	p, err := s.policy(ctx, args[0])
	if err != nil {
		return err
	}
	return s.showPolicy(ctx, p)
}

func (s *session) policy(ctx context.Context, idOrName string) (admin.Policy, error) {
	p, err := s.Policies.Get(ctx, idOrName)
	return p, missing(err, "policy list", "there is no policy %q", idOrName)
}

func (s *session) showPolicy(ctx context.Context, p admin.Policy) error {
	vaults, err := s.vaultNames(ctx)
	if err != nil {
		return err
	}
	global, err := s.globalACL(ctx)
	if err != nil {
		return err
	}
	allow, deny := groupsOf(p, global)
	return s.one(
		row{"name", p.Name}, row{"default", yesNo(p.Default)}, row{"hosts", list(p.Hosts)}, row{"paths", list(p.Paths)},
		row{"ignore case", yesNo(p.IgnoreCase)}, row{"priority", strconv.Itoa(p.Selection().Priority)},
		row{"vault", vaults.of(p.Vault)}, row{"allow", allow}, row{"deny", deny},
		row{"access token name", list(p.AccessTokenName)}, row{"secret token name", list(p.SecretTokenName)},
		row{"authorization scheme", text(p.AuthorizationScheme)}, row{"tokens in body", yesNo(p.TokensInBody)}, row{"body credentials visible", yesNo(p.BodyCredentialsVisible)},
		row{"hide credentials", yesNo(p.HideCredentials)}, row{"hide credential identifier", yesNo(p.HideCredentialIdentifier)},
		row{"hide groups header", yesNo(p.HideGroupsHeader)}, row{"anonymous", text(p.Anonymous)},
		row{"run on preflight", yesNo(p.RunOnPreflight)}, row{"preflight", p.Preflight}, row{"shadow", yesNo(p.Shadow)},
		row{"realm", text(p.Realm)}, row{"on error", p.OnError}, row{"tags", list(p.Tags)}, row{"id", p.ID},
		row{"created", instant(p.CreatedAt)}, row{"updated", instant(p.UpdatedAt)},
	)
}

func (o *operator) createPolicy() *cobra.Command {
	var p admin.Policy
	var vault string
	var acl admin.PolicyACL
	var cmd *cobra.Command
	cmd = o.verb("create NAME", "Create a policy; what is not given has the default of the service",
		"  vault-authz policy create default --vault main --default\n"+
			"  vault-authz policy create orders --vault main --host api.example.com --path /orders --allow staff",
		func(ctx context.Context, s *session, args []string) error {
			if vault == "" {
				return exitError{exitUsage, errors.New("give --vault; see vault-authz policy create --help")}
			}
			v, err := s.vault(ctx, vault)
			if err != nil {
				return err
			}
			p.Name, p.Vault = args[0], &admin.Ref{ID: v.ID}
			if len(acl.Allow)+len(acl.Deny) > 0 {
				p.ACL = &acl
			}
			setPolicyFlags(&p, cmd.Flags())
			created, err := s.Policies.Create(ctx, p)
			if err != nil {
				return err
			}
			return s.showPolicy(ctx, created)
		})
	cmd.Flags().StringVar(&p.ID, "id", "", "`UUID` to create it under, random by default")
	policyFlags(cmd.Flags(), &p, &acl, &vault)
	return cmd
}

// policyFlags are the flags that say what a policy is. Those whose default is
// the service's have no variable.
func policyFlags(f *pflag.FlagSet, p *admin.Policy, acl *admin.PolicyACL, vault *string) {
	f.StringVar(vault, "vault", "", "`NAME` or id of the vault object with the credentials")
	f.StringArrayVar(&p.Hosts, "host", nil, "`HOST` that it governs, any number of times")
	f.StringArrayVar(&p.Paths, "path", nil, "`PATH` that it governs with all below, any number of times")
	f.StringArrayVar(&acl.Allow, "allow", nil, "`GROUP` that is let in, and no other, any number of times")
	f.StringArrayVar(&acl.Deny, "deny", nil, "`GROUP` that is kept out, any number of times")
	f.StringArrayVar((*[]string)(&p.AccessTokenName), "access-token-name", nil, "`NAME` of the access token in requests, any number of times")
	f.StringArrayVar((*[]string)(&p.SecretTokenName), "secret-token-name", nil, "`NAME` of the secret token in requests, any number of times")
	f.StringVar(&p.Preflight, "preflight", "", "strict or any, what counts as a preflight request")
	f.StringVar(&p.OnError, "on-error", "", "what Envoy is told when there is no decision, deny by default")
	f.StringArrayVar(&p.Tags, "tag", nil, "`TAG`, any number of times")
	f.Int("priority", 0, "`NUMBER` that decides between policies with the same host and path, the higher one governs")
	f.Bool("ignore-case", false, "compare paths in any case")
	f.String("authorization-scheme", "", "bearer or basic, how the Authorization header carries tokens")
	f.String("anonymous", "", "`CONSUMER` that requests without a good credential count as")
	f.String("realm", "", "`REALM` in the challenge of a denial")
	f.Bool("default", false, "govern the requests that no other policy governs")
	f.Bool("tokens-in-body", false, "look for tokens in the body, too")
	f.Bool("body-credentials-visible", false, "accept that the upstream sees tokens in the body")
	f.Bool("hide-credentials", true, "take the tokens out of the request")
	f.Bool("hide-credential-identifier", false, "do not tell the upstream the access token")
	f.Bool("hide-groups-header", false, "do not tell the upstream the groups")
	f.Bool("run-on-preflight", true, "authenticate preflight requests, too")
	f.Bool("shadow", false, "decide and log, but let every request through")
}

// setPolicyFlags takes over the flags that were given: the others are left to
// the service.
func setPolicyFlags(p *admin.Policy, f *pflag.FlagSet) {
	for name, field := range map[string]**bool{
		"default": &p.Default, "ignore-case": &p.IgnoreCase, "tokens-in-body": &p.TokensInBody, "body-credentials-visible": &p.BodyCredentialsVisible,
		"hide-credentials": &p.HideCredentials, "hide-credential-identifier": &p.HideCredentialIdentifier,
		"hide-groups-header": &p.HideGroupsHeader, "run-on-preflight": &p.RunOnPreflight, "shadow": &p.Shadow,
	} {
		if value, err := f.GetBool(name); err == nil && f.Changed(name) {
			*field = &value
		}
	}
	if value, err := f.GetInt("priority"); err == nil && f.Changed("priority") {
		p.Priority = &value
	}
	for name, field := range map[string]**string{"authorization-scheme": &p.AuthorizationScheme, "anonymous": &p.Anonymous, "realm": &p.Realm} {
		if value, err := f.GetString(name); err == nil && f.Changed(name) {
			*field = &value
		}
	}
}

func deletePolicy(ctx context.Context, s *session, args []string) error {
	p, err := s.policy(ctx, args[0])
	if err != nil {
		return err
	}
	question := "Delete policy %q (%s)? Its requests are denied, or governed by another."
	if p.Selection().Default {
		question = "Delete policy %q (%s)? It is the default: without it, requests that no policy selects are denied."
	}
	if err := s.confirm(ctx, question, args[0], p.ID); err != nil {
		return err
	}
	if err := s.Policies.Delete(ctx, p.ID); err != nil {
		return err
	}
	return s.done("policy %q is deleted", args[0])
}
