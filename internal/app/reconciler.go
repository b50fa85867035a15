package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
)

// A reconciler keeps the snapshot that decisions are based on up to date with the entities:
// those of the configuration, and those that were made through the admin API of any replica.
// It is safe for concurrent use.
type reconciler struct {
	declaration atomic.Pointer[declaration]
	vaults      *vaults.Set
	authorizer  *authz.Authorizer
	log         *zap.Logger
	// wake says that there is something to publish.
	wake chan struct{}

	// mu is held for moments only: the log is not read on meanwhile.
	mu sync.Mutex
	// pending is what has changed since the last publication began.
	pending pending
	// target is the view that pending leads to, nil before the state was read.
	target *state.View
	// position is that of the view that decisions are based on, -1 before the first one.
	// problem is why the last publication failed, nil if it did not, and problemAt the
	// position of the view that could not be used. published is closed after each
	// publication, successful or not.
	position  int
	problem   error
	problemAt int
	published chan struct{}

	// applying is held while decisions are given something else to go by. It guards
	// what they go by now.
	applying  sync.Mutex
	consumers *authz.Directory
	policies  []authz.Policy
	sources   map[string]authz.Source
	view      *state.View
}

// A declaration is a configuration with its entities as the admin API shows them. It is
// immutable.
type declaration struct {
	config   *config.Config
	entities admin.Declared
}

func newDeclaration(c *config.Config) *declaration { return &declaration{c, declared(c)} }

// pending are changes that decisions are not based on yet.
type pending struct {
	// all: every entity is built again.
	all bool
	// rules: policies or vault objects have changed.
	rules bool
	// consumers are the ids of changed consumers, groups those of changed memberships.
	consumers, groups []string
}

// maxPending bounds the changes that are applied one by one: beyond it, building everything
// again costs less.
const maxPending = 50_000

func newReconciler(c *config.Config, open *vaults.Set, authorizer *authz.Authorizer, log *zap.Logger) *reconciler {
	r := &reconciler{
		vaults: open, authorizer: authorizer, log: log,
		wake: make(chan struct{}, 1), published: make(chan struct{}), position: -1, pending: pending{all: true},
	}
	r.declaration.Store(newDeclaration(c))
	return r
}

// watcher returns what the store calls about changes.
func (r *reconciler) watcher() state.Watcher {
	return state.Watcher{
		Deferred: true,
		Drop:     r.vaults.Invalidate,
		DropAll:  r.vaults.InvalidateAll,
		Changed: func(changes []state.Change, v *state.View) {
			p := pending{all: changes == nil}
			for _, c := range changes {
				switch c.Kind {
				case state.KindConsumers:
					p.consumers = append(p.consumers, c.ID)
				case state.KindACLs:
					p.groups = append(p.groups, c.ID)
				default:
					p.rules = true
				}
			}
			r.enqueue(p, v)
		},
	}
}

// enqueue adds changes that lead to v to what is pending, and wakes run.
func (r *reconciler) enqueue(p pending, v *state.View) {
	r.mu.Lock()
	r.target = v
	now := &r.pending
	now.all = now.all || p.all || len(now.consumers)+len(now.groups) > maxPending
	now.rules = now.rules || p.rules
	now.consumers, now.groups = append(now.consumers, p.consumers...), append(now.groups, p.groups...)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// notReady is an error until decisions go by the state for the first time.
func (r *reconciler) notReady() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.position < 0 {
		return errors.Join(errors.New("not read yet"), r.problem)
	}
	return nil
}

// The first and the longest wait before a failed publication is tried again.
const (
	firstRetry = time.Second
	maxRetry   = time.Minute
)

// run publishes changes until ctx ends. A publication that fails is tried again at the next
// change, and after a while without one: the cause may lie outside of the state.
func (r *reconciler) run(ctx context.Context, store *state.Store) error {
	waits := backoff.Exponential{First: firstRetry, Max: maxRetry}
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-retry:
		}
		retry = nil
		v, err := r.publish()
		switch {
		case err != nil:
			retry = time.After(waits.Next())
		case v != nil:
			waits.Reset()
			store.Using(v)
		}
	}
}

// publish makes decisions go by the target view and returns it; nil before there is one.
// After an error they go by the view before. Until the first success every request is
// unavailable: a policy that is not known yet may be stricter than those that are.
//
// pending and target are read together. With an older view some pending changes would never
// be applied; with a newer one, changes that are told later could not be: after a membership
// is deleted, only the view before says whose it was.
func (r *reconciler) publish() (*state.View, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	r.mu.Lock()
	p, v := r.pending, r.target
	r.pending = pending{all: v == nil}
	r.mu.Unlock()
	if v == nil {
		return nil, nil
	}
	err := r.apply(v, &p, r.declaration.Load())
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.problem
	if r.problem = err; err == nil {
		r.position = v.Position()
	} else {
		r.problemAt = v.Position()
		r.pending.all = true
		v = nil
	}
	close(r.published)
	r.published = make(chan struct{})
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		r.log.Error("the new state is not used, decisions go by the one before; it is tried again", zap.Error(err))
	case err == nil && before != nil:
		r.log.Info("the new state is used")
	}
	return v, err
}

// apply makes decisions go by a view and by the configuration. After an error nothing has
// changed.
func (r *reconciler) apply(v *state.View, p *pending, to *declaration) (err error) {
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
func (r *reconciler) dependsOnConsumers() bool {
	return slices.ContainsFunc(r.policies, func(p authz.Policy) bool { return p.Anonymous != "" })
}

// directory returns the consumers of a view and of the configuration.
func (r *reconciler) directory(v *state.View, p *pending, to *declaration) (*authz.Directory, error) {
	stored := admin.Consumers(to.entities, v)
	if p.all || r.consumers == nil {
		return authz.NewDirectory(to.config.Consumers, stored)
	}
	changed := p.consumers
	for _, id := range p.groups {
		for _, view := range []*state.View{r.view, v} {
			if r, err := view.Get(state.KindACLs, id); err == nil {
				changed = append(changed, admin.ACLConsumer(r))
			}
		}
	}
	return r.consumers.Next(stored, changed), nil
}

// rules builds policies, and opens new vault objects. A stored vault object that cannot be
// opened fails alone, and so does a declared one at the start. A new configuration with one is
// not used.
func (r *reconciler) rules(v *state.View, to *declaration) ([]authz.Policy, *vaults.Change, error) {
	rules, err := admin.Entities(to.entities, v)
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
	if err := change.DeclaredErr(to.config); err != nil && to != r.declaration.Load() {
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
func (r *reconciler) storedVault(v admin.VaultObject, by *config.Config) config.Vault {
	c := vaultConfig(v)
	if err := by.ApartFromState(&c); err != nil {
		r.log.Error("vault objects are not open", zap.Error(fmt.Errorf("vault object %q: %w", v.Name, err)))
		c.Lost = true
	}
	return c
}

// reconfigure makes decisions go by another configuration, together with the state that they
// go by now. After an error they go by the one before. Without a state that was read, they
// wait for one.
func (r *reconciler) reconfigure(c *config.Config) error {
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

// await waits until decisions are based on a position of the log. Its error says that
// they may still be based on what was before. A problem with an earlier position is no
// error: the change may be what ends it.
func (r *reconciler) await(ctx context.Context, position int) error {
	for {
		r.mu.Lock()
		at, problem, problemAt, published := r.position, r.problem, r.problemAt, r.published
		r.mu.Unlock()
		if at >= position {
			return nil
		}
		if problem != nil && problemAt >= position {
			return fmt.Errorf("a change is not applied here: %w", problem)
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("a change is not applied here yet: %w", ctx.Err())
		}
	}
}
