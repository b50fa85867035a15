package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A reconciler keeps the snapshot that decisions are based on up to date with the entities:
// those of the configuration, and those that were made through the admin API of any replica.
// It is safe for concurrent use.
type reconciler struct {
	config     *config.Config
	declared   admin.Declared
	backends   *vaultBackends
	authorizer *authz.Authorizer
	log        *zap.Logger
	// wake says that there is something to publish.
	wake chan struct{}

	// mu is held for moments only: the log is not read on meanwhile.
	mu sync.Mutex
	// pending is what has changed since the last publication began.
	pending pending
	// target is the view that pending leads to, nil before the state was read.
	target *state.View
	// position is that of the view that decisions are based on, -1 before the first one.
	// problem is why the last publication failed, nil if it did not. published is closed
	// after each publication, successful or not.
	position  int
	problem   error
	published chan struct{}

	// opening is held while vault objects are opened. It guards vaults: by the id of each
	// vault object the version of it that is open.
	opening sync.Mutex
	vaults  map[string]vaultVersion

	// Only publish uses these.
	consumers *authz.Directory
	policies  []authz.Policy
	sources   map[string]authz.Source
	view      *state.View
}

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

// A vaultVersion is a vault object by its name and the version of its record.
type vaultVersion struct {
	name    string
	version int
}

func newReconciler(c *config.Config, open *vaultBackends, authorizer *authz.Authorizer, log *zap.Logger) *reconciler {
	return &reconciler{
		config: c, declared: declared(c), backends: open, authorizer: authorizer, log: log,
		wake: make(chan struct{}, 1), published: make(chan struct{}), position: -1, pending: pending{all: true},
	}
}

// watcher returns what the store calls about changes.
func (r *reconciler) watcher() state.Watcher {
	return state.Watcher{
		Deferred: true,
		Drop:     r.backends.invalidate,
		DropAll:  r.backends.invalidateAll,
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
	r.mu.Lock()
	p, v := r.pending, r.target
	r.pending = pending{all: v == nil}
	r.mu.Unlock()
	if v == nil {
		return nil, nil
	}
	err := r.apply(v, &p)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.problem
	if r.problem = err; err == nil {
		r.position = v.Position()
	} else {
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

func (r *reconciler) apply(v *state.View, p *pending) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a panic of type %T; please report it", cause)
		}
	}()
	if err := r.applyConsumers(v, p); err != nil {
		return err
	}
	var retired []*vaultBackend
	if p.all || p.rules || r.sources == nil || r.dependsOnConsumers() {
		if retired, err = r.applyRules(v); err != nil {
			return err
		}
	}
	defer func() { r.backends.close(retired) }()
	snapshot, err := authz.NewSnapshotOf(r.policies, r.consumers, r.sources)
	if err != nil {
		return err
	}
	r.authorizer.Replace(snapshot)
	r.view = v
	return nil
}

// dependsOnConsumers says whether a policy depends on which consumers there are.
func (r *reconciler) dependsOnConsumers() bool {
	return slices.ContainsFunc(r.policies, func(p authz.Policy) bool { return p.Anonymous != "" })
}

func (r *reconciler) applyConsumers(v *state.View, p *pending) error {
	stored := admin.Consumers(r.declared, v)
	if p.all || r.consumers == nil {
		all, err := authz.NewDirectory(r.config.Consumers, stored)
		r.consumers = all
		return err
	}
	changed := p.consumers
	for _, id := range p.groups {
		for _, view := range []*state.View{r.view, v} {
			if r, err := view.Get(state.KindACLs, id); err == nil {
				changed = append(changed, admin.ACLConsumer(r))
			}
		}
	}
	r.consumers = r.consumers.Next(stored, changed)
	return nil
}

// applyRules builds policies and vault objects, and opens new ones.
func (r *reconciler) applyRules(v *state.View) (retired []*vaultBackend, err error) {
	rules, err := admin.Entities(r.declared, v)
	if err != nil {
		return nil, err
	}
	for _, problem := range rules.Problems {
		r.log.Error("entities do not fit together", zap.Error(problem))
	}
	vaults := slices.Clone(r.config.Vaults)
	byID := map[string]vaultVersion{}
	for _, o := range rules.Vaults {
		byID[o.ID] = vaultVersion{o.Name, o.Revision}
		if !o.Declared {
			vaults = append(vaults, r.storedVault(o))
		}
	}
	sources, retired, err := r.openVaults(byID, vaults)
	if err != nil {
		r.log.Error("vault objects are not open", zap.Error(err))
	}
	r.policies, r.sources = rules.Policies, sources
	return retired, nil
}

// openVaults opens vault objects and sets their ids in one step: between the two, an id could
// be looked up under a name that another vault object has by now.
func (r *reconciler) openVaults(byID map[string]vaultVersion, vaults []config.Vault) (sources map[string]authz.Source, retired []*vaultBackend, err error) {
	r.opening.Lock()
	defer r.opening.Unlock()
	r.vaults = byID
	return r.backends.set(vaults)
}

// storedVault returns the configuration of a vault object of the state. One whose mount is
// refused by now counts as lost: it is not opened, and its requests are unavailable.
func (r *reconciler) storedVault(v admin.VaultObject) config.Vault {
	c := vaultConfig(v)
	if err := r.config.ApartFromState(&c); err != nil {
		r.log.Error("vault objects are not open", zap.Error(fmt.Errorf("vault object %q: %w", v.Name, err)))
		c.Lost = true
	}
	return c
}

// await waits until decisions are based on a position of the log. Its error says that
// they may still be based on what was before.
func (r *reconciler) await(ctx context.Context, position int) error {
	for {
		r.mu.Lock()
		at, problem, published := r.position, r.problem, r.published
		r.mu.Unlock()
		if at >= position {
			return nil
		}
		if problem != nil {
			return fmt.Errorf("a change is not applied here: %w", problem)
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("a change is not applied here yet: %w", ctx.Err())
		}
	}
}

// reports describes each vault object that was made through the admin API in a line. Readiness
// shows them and does not depend on them: one bad vault object must not stop all replicas.
func (r *reconciler) reports() []string {
	r.opening.Lock()
	var names []string
	for _, v := range r.vaults {
		if v.version > 0 {
			names = append(names, v.name)
		}
	}
	r.opening.Unlock()
	slices.Sort(names)
	lines := make([]string, len(names))
	for i, name := range names {
		lines[i] = "vault " + name + ": " + r.backends.report(name)
	}
	return lines
}

// backend returns the vault object of an id at a version, nil if it could not be opened. It is
// not known if this replica has another version, or none.
func (r *reconciler) backend(id string, version int) (b *vaultBackend, known bool) {
	r.opening.Lock()
	defer r.opening.Unlock()
	v, known := r.vaults[id]
	if !known || v.version != version {
		return nil, false
	}
	return r.backends.named(v.name), true
}
