package kongimport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// scoped proposes policies instead of a plugin for some routes: one with the hosts and
// paths of each route.
func (p *planner) scoped(s *Step, at int) {
	pl := p.file.plugins[at]
	if pl.scope.consumer != nil || pl.scope.group != nil {
		s.Notes = append(s.Notes, "applies to some consumers only, which has no counterpart; use ACL groups")
		return
	}
	s.Notes = append(s.Notes, "applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes")
	found := false
	for i := range p.file.routes {
		if r := &p.file.routes[i]; within(r, pl.scope) {
			found = true
			p.proposeFor(s, at, r)
		}
	}
	if !found {
		s.Notes = append(s.Notes, "its routes are not in the file")
	}
}

// within reports whether a route is in a scope.
func within(r *route, at scope) bool {
	if at.route != nil && !refer(at.route, "name").meets(refer(r.fields, "name")) {
		return false
	}
	return at.service == nil || r.to.meets(refer(at.service, "name"))
}

// governing returns the index of the plugin that Kong runs on a route: that of the route,
// else of its service, else the global one; -1 for none.
func (p *planner) governing(name string, r *route) int {
	best, found := 0, -1
	for i, pl := range p.file.plugins {
		if pl.name() != name || pl.off() || pl.scope.consumer != nil || pl.scope.group != nil || !within(r, pl.scope) {
			continue
		}
		rank := 1
		if pl.scope.service != nil {
			rank = 2
		}
		if pl.scope.route != nil {
			rank += 2
		}
		if rank > best {
			best, found = rank, i
		}
	}
	return found
}

func (p *planner) proposeFor(s *Step, at int, r *route) {
	if p.governing(p.file.plugins[at].name(), r) != at {
		return // another plugin is nearer to that route
	}
	where := cmp.Or(describe(r.fields), "without a name")
	auth, limits := p.governing(vaultAuth, r), p.governing(aclPlugin, r)
	if limits == at {
		switch {
		case auth < 0:
			s.Notes = append(s.Notes, fmt.Sprintf("route %s has no vault-auth", where))
			return
		case !p.file.plugins[auth].scope.global():
			s.Notes = append(s.Notes, fmt.Sprintf("is part of the policy instead of %s (%s)", vaultAuth, p.file.plugins[auth].scope))
			return
		}
		s.Notes = append(s.Notes, fmt.Sprintf("until that policy is there, route %s is governed without this acl", where))
	}
	if name := describe(r.fields); slices.ContainsFunc(p.have.Policies[:p.policies], func(h api.Policy) bool { return h.Name == name }) {
		s.Notes = append(s.Notes, fmt.Sprintf("route %s: there is a policy with that name already", where))
		return
	}
	policy, notes := p.proposal(r, auth, limits)
	for _, n := range notes {
		s.Notes = append(s.Notes, fmt.Sprintf("route %s: %s", where, n))
	}
	if policy != nil {
		policy.Name = p.free(policy.Name)
		if tie := p.tieOf(policy); tie != nil {
			s.Notes = append(s.Notes, fmt.Sprintf("route %s: %s", where, tie))
		}
		s.Policies = append(s.Policies, *policy)
		p.proposed = append(p.proposed, *policy)
	}
}

// free returns a name that no policy has.
func (p *planner) free(name string) string {
	taken := func(name string) bool {
		has := func(h api.Policy) bool { return h.Name == name }
		return slices.ContainsFunc(p.have.Policies, has) || slices.ContainsFunc(p.proposed, has)
	}
	first := name
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	return name
}

// tieOf returns the tie between a policy and the existing or proposed ones, nil for none:
// Kong's routes may differ in ways that policies do not have.
func (p *planner) tieOf(policy *api.Policy) *authz.Tie {
	policies := []authz.Policy{policy.Authz()}
	for _, others := range [][]api.Policy{p.have.Policies, p.proposed} {
		for i := range others {
			if others[i].Name != policy.Name {
				policies = append(policies, others[i].Authz())
			}
		}
	}
	for _, tie := range authz.Ties(policies) {
		if slices.Contains(tie.Policies, policy.Name) {
			return tie
		}
	}
	return nil
}

// proposal returns the policy that does for a route what its plugins do in Kong, nil if
// no policy comes close.
func (p *planner) proposal(r *route, auth, limits int) (*api.Policy, []string) {
	c := p.config(p.file.plugins[auth])
	notes := slices.Concat(c.problems, c.notes)
	policy := c.plugin.Policy
	policy.Name = cmp.Or(describe(r.fields), nameOf(p.file.plugins[auth].fields["instance_name"]), vaultAuth)
	if c.needs != "" {
		notes = append(notes, c.needs)
	}
	if c.visible {
		yes := true
		policy.BodyCredentialsVisible = &yes
		notes = append(notes, "Envoy cannot take tokens out of a body, so the upstream would see them; if it must not, leave out tokens_in_body and body_credentials_visible")
	}
	policy.Tags = readerOf(p.file.plugins[auth].fields, "").list("tags")
	// The global acl applies to policies without an acl of their own.
	if limits >= 0 && !p.file.plugins[limits].scope.global() {
		a := p.config(p.file.plugins[limits])
		notes = append(notes, slices.Concat(a.problems, a.notes)...)
		if a.needs != "" || len(a.problems) > 0 {
			return nil, append(notes, cmp.Or(a.needs, "the acl cannot be read"))
		}
		policy.ACL = &api.PolicyACL{Allow: a.plugin.Allow, Deny: a.plugin.Deny}
		policy.HideGroupsHeader = a.plugin.HideGroupsHeader
		for _, tag := range readerOf(p.file.plugins[limits].fields, "").list("tags") {
			if !slices.Contains(policy.Tags, tag) {
				policy.Tags = append(policy.Tags, tag)
			}
		}
	}
	if !or(policy.HideCredentials, true) {
		notes = append(notes, "hide_credentials is false in the file, so the upstream gets the tokens as from Kong; leave it out of the policy to have them removed")
	}
	selects := readerOf(r.fields, "")
	hosts, paths := selects.names("hosts"), selects.names("paths")
	for _, field := range []string{"methods", "headers", "snis", "sources", "destinations", "expression"} {
		if !empty(r.fields[field]) {
			notes = append(notes, fmt.Sprintf("the route also selects by %s, which a policy does not", field))
		}
	}
	if len(selects.problems) > 0 {
		return nil, append(notes, selects.problems...)
	}
	var odd []string
	policy.Hosts, odd = selectable(hosts, func(h string) authz.Policy { return authz.Policy{Hosts: []string{h}} })
	notes = append(notes, odd...)
	policy.Paths, odd = selectable(paths, func(h string) authz.Policy { return authz.Policy{Paths: []string{h}} })
	notes = append(notes, odd...)
	switch {
	case len(hosts) > 0 && len(policy.Hosts) == 0 || len(paths) > 0 && len(policy.Paths) == 0:
		// Without them it would govern more than the route.
		policy.Hosts, policy.Paths = nil, nil
		notes = append(notes, "name the policy in the context_extensions of Envoy's route")
	case len(hosts)+len(paths) == 0:
		notes = append(notes, "has neither hosts nor paths: name the policy in the context_extensions of Envoy's route")
	}
	return &policy, notes
}

// selectable splits hosts or paths into those that a policy can have and notes
// about the others. Kong's regular expressions and its wildcards at the end are
// among these.
func selectable(all []string, alone func(string) authz.Policy) (good, notes []string) {
	for _, one := range all {
		policy := alone(one)
		d := authz.DefaultPolicy()
		d.Name, d.Vault, d.Hosts, d.Paths = "any", "any", policy.Hosts, policy.Paths
		if d.Validate() != nil || strings.ContainsAny(one, `~([\^$+?|{`) {
			notes = append(notes, fmt.Sprintf("a policy cannot select by %q", one))
			continue
		}
		good = append(good, one)
	}
	return good, notes
}
