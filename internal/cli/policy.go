package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
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
		o.verb("get POLICY", "Show a policy, by id or name", "  vault-authz policy get orders", get((*session).policy, (*session).showPolicy)),
		o.createPolicy(),
		o.updatePolicy(),
		o.destructive("delete POLICY", "Delete a policy", "  vault-authz policy delete orders --yes", deletePolicy),
	)
}

// compared sorts policies, the most specific first.
func compared(a, b *api.Policy) int {
	x, y := a.Authz(), b.Authz()
	return x.Compare(&y)
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
	slices.SortFunc(all, func(a, b api.Policy) int { return compared(&a, &b) })
	var lines [][]string
	for _, p := range all {
		allow, deny := groupsOf(p, global)
		lines = append(lines, []string{p.Name, yesNo(p.Default), list(p.Hosts), list(p.Paths), strconv.Itoa(p.Authz().Priority), vaults.of(p.Vault), allow, deny, p.ID})
	}
	return s.many([]string{"NAME", "DEFAULT", "HOSTS", "PATHS", "PRIORITY", "VAULT", "ALLOW", "DENY", "ID"}, lines)
}

// groupsOf are the groups that a policy lets in or keeps out: its own, or else those of
// the acl plugin, which says that it is.
func groupsOf(p api.Policy, global *api.PluginConfig) (allow, deny string) {
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
func (s *session) globalACL(ctx context.Context) (*api.PluginConfig, error) {
	if s.asJSON {
		return nil, nil //nolint:nilnil // no plugin is an answer, not a failure
	}
	p, err := s.aclPlugin(ctx)
	if p == nil {
		return nil, err
	}
	return &p.Config, err
}

func (s *session) policy(ctx context.Context, idOrName string) (api.Policy, error) {
	p, err := s.Policies.Get(ctx, idOrName)
	return p, unknown(err, "policy", idOrName)
}

func (s *session) showPolicy(ctx context.Context, p api.Policy) error {
	vaults, err := s.vaultNames(ctx)
	if err != nil {
		return err
	}
	global, err := s.globalACL(ctx)
	if err != nil {
		return err
	}
	allow, deny := groupsOf(p, global)
	options := policyOptions()
	rows := optionRows(options, api.Values(options, &p), map[string]string{"vault": vaults.of(p.Vault), "allow": allow, "deny": deny})
	// Few policies have denials of their own.
	rows = slices.DeleteFunc(rows, func(r row) bool { return strings.HasPrefix(r.name, "denial ") && r.value == "" })
	return s.showEntity(rows, p.ID, p.CreatedAt, p.UpdatedAt)
}

func (o *operator) createPolicy() *cobra.Command {
	options := policyOptions()
	return o.create("create NAME", "Create a policy; what is not given has the default of the service",
		"  vault-authz policy create default --vault main --default\n"+
			"  vault-authz policy create orders --vault main --host api.example.com --path /orders --allow staff",
		options, "name",
		func(ctx context.Context, s *session, args []string, fields map[string]any) error {
			vault, _ := fields["vault"].(string)
			if vault == "" {
				return exitError{exitUsage, errors.New("give --vault; see vault-authz policy create --help")}
			}
			v, err := s.vault(ctx, vault)
			if err != nil {
				return err
			}
			p := api.Read[api.Policy](options, fields)
			p.Name, p.Vault = args[0], &api.Ref{ID: v.ID}
			created, err := s.Policies.Create(ctx, p)
			if err != nil {
				return err
			}
			defer s.warnOfEmptyGroups(ctx)
			return s.showPolicy(ctx, created)
		})
}

func (o *operator) updatePolicy() *cobra.Command {
	return o.update("update POLICY", "Change a policy, by id or name",
		"update changes a policy. An option that is unset has the default of the service again.",
		"  vault-authz policy update orders --allow staff --allow partners\n"+
			"  vault-authz policy update orders --shadow=false --path ''",
		policyOptions(), nil,
		func(ctx context.Context, s *session, name string, fields map[string]any) error {
			if vault, given := fields["vault"]; given {
				text, _ := vault.(string)
				if text == "" {
					return exitError{exitUsage, errors.New("--vault: a policy cannot be without a vault object; give its name")}
				}
				v, err := s.vault(ctx, text)
				if err != nil {
					return err
				}
				fields["vault"] = api.Ref{ID: v.ID}
			}
			p, err := s.Policies.Patch(ctx, name, fields)
			if err != nil {
				return unknown(err, "policy", name)
			}
			defer s.warnOfEmptyGroups(ctx)
			return s.showPolicy(ctx, p)
		})
}

func deletePolicy(ctx context.Context, s *session, args []string) error {
	p, err := s.policy(ctx, args[0])
	if err != nil {
		return err
	}
	question := "Delete policy %q (%s)? Its requests are denied, or governed by another."
	if p.Authz().Default {
		question = "Delete policy %q (%s)? It is the default: without it, requests that no policy selects are denied."
	}
	return remove(ctx, s, s.Policies, "policy", args[0], p.ID, question)
}
