package reconcile

import (
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
)

// apply makes decisions go by a view and by the configuration. After an error nothing has
// changed.
func (r *Reconciler) apply(v *state.View, p *pending, to *declaration) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a panic of type %T; please report it", cause)
		}
	}()
	consumers, err := r.directory(v, p, to)
	if err != nil {
		return err
	}
	policies, sources := r.policies, r.sources
	var change *vaults.Change
	if p.all || p.rules || r.sources == nil || r.dependsOnConsumers() {
		if policies, change, err = r.rules(v, to); err != nil {
			return err
		}
		defer change.Abandon()
		sources = change.Sources
	}
	snapshot, err := authz.NewSnapshotOf(policies, consumers, sources)
	if err != nil {
		return err
	}
	var removed []*vaults.Object
	if change != nil {
		removed = change.Commit()
	}
	r.authorizer.Replace(snapshot)
	r.vaults.Retire(removed)
	r.consumers, r.policies, r.sources, r.view = consumers, policies, sources, v
	return nil
}

// dependsOnConsumers says whether a policy depends on which consumers there are.
func (r *Reconciler) dependsOnConsumers() bool {
	return slices.ContainsFunc(r.policies, func(p authz.Policy) bool { return p.Anonymous != "" })
}

// directory returns the consumers of a view and of the configuration.
func (r *Reconciler) directory(v *state.View, p *pending, to *declaration) (*authz.Directory, error) {
	stored := entities.Consumers(to.entities, v)
	if p.all || r.consumers == nil {
		return authz.NewDirectory(to.config.Consumers, stored)
	}
	changed := p.consumers
	for _, id := range p.groups {
		for _, view := range []*state.View{r.view, v} {
			if r, err := view.Get(state.KindACLs, id); err == nil {
				changed = append(changed, entities.ACLConsumer(r))
			}
		}
	}
	return r.consumers.Next(stored, changed), nil
}

// rules builds policies, and opens new vault objects. A stored vault object that cannot be
// opened fails alone, and so does a declared one at the start. A new configuration with one is
// not used.
func (r *Reconciler) rules(v *state.View, to *declaration) ([]authz.Policy, *vaults.Change, error) {
	rules, err := entities.Build(to.entities, v)
	if err != nil {
		return nil, nil, err
	}
	for _, problem := range rules.Problems {
		r.log.Error("entities do not fit together", zap.Error(problem))
	}
	wanted := slices.Clone(to.config.Vaults)
	for _, o := range rules.Vaults {
		if !o.Declared {
			wanted = append(wanted, r.storedVault(o, to.config))
		}
	}
	change := r.vaults.Prepare(wanted)
	if err := change.DeclaredErr(); err != nil && to != r.declaration.Load() {
		change.Abandon()
		return nil, nil, err
	}
	if err := change.Err(); err != nil {
		r.log.Error("vault objects are not open", zap.Error(err))
	}
	return rules.Policies, change, nil
}

// storedVault returns the configuration of a vault object of the state. One whose mount is
// refused by now counts as lost: it is not opened, and its requests are unavailable.
func (r *Reconciler) storedVault(v entities.VaultObject, by *config.Config) config.Vault {
	c := vaultConfig(v)
	if err := by.ApartFromState(&c); err != nil {
		r.log.Error("vault objects are not open", zap.Error(fmt.Errorf("vault object %q: %w", v.Name, err)))
		c.Lost = true
	}
	return c
}

// Reconfigure makes decisions go by another configuration, together with the state that they
// go by now. After an error they go by the one before. Without a state that was read, they
// wait for one.
func (r *Reconciler) Reconfigure(c *config.Config) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	next := newDeclaration(c)
	if r.view == nil {
		change := r.vaults.Prepare(c.Vaults)
		defer change.Abandon()
		if err := change.Err(); err != nil {
			return err
		}
		r.vaults.Retire(change.Commit())
	} else if err := r.apply(r.view, &pending{all: true}, next); err != nil {
		return err
	}
	r.declaration.Store(next)
	return nil
}
