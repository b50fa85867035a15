package entities

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A State is policies and vault objects as the decision has them.
type State struct {
	Policies []authz.Policy
	// Vaults has every vault object that a policy names.
	Vaults []VaultObject
	// Problems are conflicts between records that are valid on their own: two
	// replicas may write at the same moment. Each was resolved so that requests
	// are denied.
	Problems []error
}

// Build builds policies and vault objects from the declarations of the file and the
// stored records. It leaves out consumers: [Consumers] finds each one on demand.
// It fails only if leaving out a record could let a request in; the caller then
// keeps its last State. Vault objects are read first, so that policies can refer to them
// by name.
func Build(declared Declared, view *state.View) (State, error) {
	g := builder{vaultNames: map[string]string{}, consumers: consumersOf(declared, view)}
	g.declare(declared)
	for _, kind := range []string{state.KindVaults, state.KindPolicies} {
		view.After(kind, "", func(r *state.Record) bool {
			d, err := schema.Decode(r.Document)
			if err == nil && (d.Text("id") != r.ID) {
				err = errors.New("the document is of another id")
			}
			switch {
			case kind == state.KindVaults && err == nil:
				g.takeVault(r, d)
			case kind == state.KindVaults:
				g.problem("vault object %q: %w; its policies are answered with unavailable", r.ID, err)
				return true
			case err == nil:
				err = g.takePolicy(d)
			}
			if err != nil {
				g.errs = append(g.errs, fmt.Errorf("%s %q: %w", r.Kind, r.ID, err))
			}
			return true
		})
	}
	g.finish()
	return g.State, errors.Join(g.errs...)
}

// A builder builds a State.
type builder struct {
	State
	errs []error
	// vaultNames are names by id.
	vaultNames map[string]string
	// consumers reports whether a consumer with the id or username exists.
	consumers func(idOrUsername string) bool
	// declared is the number of declared policies, which come first.
	declared int
	// acl is the global acl plugin.
	acl schema.Document
}

func (g *builder) problem(format string, args ...any) {
	g.Problems = append(g.Problems, fmt.Errorf(format, args...))
}

func (g *builder) declare(d Declared) {
	for _, v := range d.Vaults {
		if v.ID == "" {
			v.ID = DeclaredID(state.KindVaults, v.Name)
		}
		v.Declared = true
		g.Vaults = append(g.Vaults, v)
		g.vaultNames[v.ID] = v.Name
	}
	for _, p := range d.Policies {
		if p.ID == "" {
			p.ID = DeclaredID(state.KindPolicies, p.Name)
		}
		g.Policies = append(g.Policies, p)
	}
	g.declared = len(g.Policies)
}

func (g *builder) takeVault(r *state.Record, d schema.Document) {
	if g.vaultNames[r.ID] != "" {
		return
	}
	v := VaultObjectOf(d)
	v.Revision = r.Version
	if slices.ContainsFunc(g.Vaults, func(o VaultObject) bool { return o.Name == v.Name }) {
		g.problem("vault object %q: its name %q is taken by another one; it goes by its id until it is renamed", v.ID, v.Name)
		v.Name = v.ID
	}
	g.Vaults = append(g.Vaults, v)
	g.vaultNames[v.ID] = v.Name
}

func (g *builder) takePolicy(d schema.Document) error {
	if d["plugin"] != nil {
		if d.Text("plugin") != api.PluginACL {
			return fmt.Errorf("plugin %q is not known", d.Text("plugin"))
		}
		g.acl = d
		return nil
	}
	p := PolicyOf(d)
	if slices.ContainsFunc(g.Policies, func(o authz.Policy) bool { return o.ID == p.ID }) {
		return nil
	}
	vaultID := p.Vault
	p.Vault = g.vaultNames[vaultID]
	if p.Vault == "" {
		p.Vault = g.lose(vaultID)
		g.problem("policy %q: its vault object %q is not there; its requests are answered with unavailable", p.ID, vaultID)
	}
	if err := p.Validate(); err != nil {
		// A later version may allow more in denials. What a client is told must not hold
		// up what is decided.
		usual := p
		usual.Denial = authz.DenialOptions{}
		if usual.Validate() != nil {
			return err
		}
		g.problem("policy %q: its denials are answered as usual, because its own answers cannot be used: %w", p.ID, err)
		p = usual
	}
	g.Policies = append(g.Policies, p)
	return nil
}

// lose adds a vault object in place of one that does not exist.
func (g *builder) lose(id string) string {
	name := "lost " + id
	if !slices.ContainsFunc(g.Vaults, func(v VaultObject) bool { return v.Name == name }) {
		g.Vaults = append(g.Vaults, VaultObject{ID: id, Name: name, Lost: true})
	}
	return name
}

// settle resolves conflicts between policies. A declared policy keeps its name and stays
// the default. Of two stored ones neither does: their order is chance.
func (g *builder) settle() {
	names, defaults := map[string]int{}, 0
	for i := range g.Policies {
		names[g.Policies[i].Name]++
		if g.Policies[i].ID != g.Policies[i].Name {
			names[g.Policies[i].ID]++
		}
		if g.Policies[i].Default {
			defaults++
		}
	}
	for i := range g.Policies {
		p := &g.Policies[i]
		if i < g.declared {
			continue
		}
		id, idTaken := p.ID, names[p.ID] > 1
		if names[p.Name] > 1 {
			g.problem("policy %q: its name %q is taken by another one; it goes by its id until it is renamed", id, p.Name)
			for p.Name = id; idTaken && names[p.Name] > 0; {
				p.Name += " (stored)"
			}
			names[p.Name]++
		}
		if idTaken {
			g.problem("policy %q: its id is the name of another one, which routes get that refer to it; rename the other one", id)
			p.ID = ""
		}
		if p.Default && defaults > 1 {
			g.problem("policy %q: there is another default policy; this one is none until it is the only one", p.Name)
			p.Default = false
		}
	}
	for _, tie := range authz.Ties(g.Policies) {
		g.problem("%w; until then, requests that they select alike are denied", tie)
	}
}

func (g *builder) finish() {
	g.settle()
	for i := range g.Policies {
		p := &g.Policies[i]
		g.applyACL(p)
		if p.Anonymous != "" && !g.consumers(p.Anonymous) {
			g.problem("policy %q: there is no consumer %q to be anonymous; requests without good credentials are denied", p.Name, p.Anonymous)
			p.Anonymous = ""
		}
	}
}

// applyACL applies the global acl plugin to a policy without an acl of its own, as Kong
// does.
func (g *builder) applyACL(p *authz.Policy) {
	if g.acl == nil || len(p.Allow) > 0 || len(p.Deny) > 0 {
		return
	}
	config := g.acl.Record("config")
	p.Allow, p.Deny = config.List("allow"), config.List("deny")
	p.HideGroupsHeader = p.HideGroupsHeader || config.Yes("hide_groups_header")
}
