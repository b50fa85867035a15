package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A keeper keeps what decisions are based on up to date: the entities of the
// configuration, and those that were made through the admin API of any replica.
// It is safe for concurrent use.
type keeper struct {
	config     *config.Config
	declared   admin.Declared
	objects    *objects
	authorizer *authz.Authorizer
	log        *zap.Logger
	// wake says that there is something to publish.
	wake chan struct{}

	// mu is held for moments only: the log is not read on meanwhile.
	mu sync.Mutex
	// pending is what has changed since the last publication began.
	pending pending
	// noted is the view that pending leads to, nil before there is one.
	noted *state.View
	// position is how far what decisions are based on has got, and problem why it
	// has not got further; moved is closed when either changes.
	position int
	problem  error
	moved    chan struct{}

	// opening is held while vault objects are opened. It guards vaults, the vault
	// objects by id as they are open.
	opening sync.Mutex
	vaults  map[string]heldVault

	// Only run uses these.
	consumers *authz.Directory
	policies  []authz.Policy
	sources   map[string]authz.Source
	view      *state.View
}

// pending are changes that decisions are not based on yet.
type pending struct {
	// all: everything is worked out anew.
	all bool
	// rules: policies or vault objects are others.
	rules bool
	// consumers are those that are others, by id, and groups the records of groups.
	consumers, groups []string
}

// maxPending is how many changes are worked out one by one; everything anew costs
// less beyond.
const maxPending = 50_000

// A heldVault is a vault object by its name and the version of its record.
type heldVault struct {
	name    string
	version int
}

func newKeeper(c *config.Config, open *objects, authorizer *authz.Authorizer, log *zap.Logger) *keeper {
	return &keeper{
		config: c, declared: declared(c), objects: open, authorizer: authorizer, log: log,
		wake: make(chan struct{}, 1), moved: make(chan struct{}), position: -1, pending: pending{all: true},
	}
}

// watcher is what the store tells.
func (k *keeper) watcher() state.Watcher {
	return state.Watcher{
		Later: true,
		Drop:  k.objects.invalidate,
		DropAll: func() {
			k.objects.invalidateAll()
			k.note(pending{all: true}, nil)
		},
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
			k.note(p, v)
		},
	}
}

// note adds to what is pending, which leads to v; nil if to the same view as before.
func (k *keeper) note(p pending, v *state.View) {
	k.mu.Lock()
	if v != nil {
		k.noted = v
	}
	now := &k.pending
	now.all = now.all || p.all || len(now.consumers)+len(now.groups) > maxPending
	now.rules = now.rules || p.rules
	now.consumers, now.groups = append(now.consumers, p.consumers...), append(now.groups, p.groups...)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// notReady says that the state has not been read yet, or cannot be used.
func (k *keeper) notReady() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.position < 0 {
		return errors.Join(errors.New("not read yet"), k.problem)
	}
	return nil
}

// run publishes what changes until ctx ends.
func (k *keeper) run(ctx context.Context, store *state.Store) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		}
		if v := k.publish(); v != nil {
			store.Using(v)
		}
	}
}

// publish makes decisions go by the state as it was told, and returns that, nil if they do
// not. Until it has succeeded once, every request is unavailable: a policy that is not known
// yet may be stricter than those that are.
//
// What is pending and the view that it leads to are taken together. With an older view, what
// is pending would never be worked out; with a newer one, what is told only then could not
// be: of a group that was taken away no view would say any more whose it was.
func (k *keeper) publish() *state.View {
	k.mu.Lock()
	p, v := k.pending, k.noted
	k.pending = pending{all: v == nil}
	k.mu.Unlock()
	if v == nil {
		return nil
	}
	err := k.use(v, &p)
	if err != nil {
		k.log.Error("the new state is not used", zap.Error(err))
		p.all = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.problem = err; err == nil {
		k.position = v.Position()
	} else {
		k.pending.all = true
		v = nil
	}
	close(k.moved)
	k.moved = make(chan struct{})
	return v
}

func (k *keeper) use(v *state.View, p *pending) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a panic of type %T; please report it", p)
		}
	}()
	if err := k.useConsumers(v, p); err != nil {
		return err
	}
	var retired []*object
	if p.all || p.rules || k.sources == nil || k.needsConsumers() {
		if retired, err = k.useRules(v); err != nil {
			return err
		}
	}
	defer func() { k.objects.close(retired) }()
	snapshot, err := authz.NewSnapshotOf(k.policies, k.consumers, k.sources)
	if err != nil {
		return err
	}
	k.authorizer.Replace(snapshot)
	k.view = v
	return nil
}

// needsConsumers says whether a policy depends on which consumers there are.
func (k *keeper) needsConsumers() bool {
	return slices.ContainsFunc(k.policies, func(p authz.Policy) bool { return p.Anonymous != "" })
}

func (k *keeper) useConsumers(v *state.View, p *pending) error {
	stored := admin.Consumers(k.declared, v)
	if p.all || k.consumers == nil {
		all, err := authz.NewDirectory(k.config.Consumers, stored)
		k.consumers = all
		return err
	}
	changed := p.consumers
	for _, id := range p.groups {
		for _, view := range []*state.View{k.view, v} {
			if r, err := view.Get(state.KindACLs, id); err == nil {
				changed = append(changed, admin.ACLConsumer(r))
			}
		}
	}
	k.consumers = k.consumers.Next(stored, changed)
	return nil
}

// useRules works out policies and vault objects, and opens what is new.
func (k *keeper) useRules(v *state.View) (retired []*object, err error) {
	rules, err := admin.Entities(k.declared, v)
	if err != nil {
		return nil, err
	}
	for _, problem := range rules.Problems {
		k.log.Error("entities do not fit together", zap.Error(problem))
	}
	vaults := slices.Clone(k.config.Vaults)
	byID := map[string]heldVault{}
	for _, o := range rules.Vaults {
		byID[o.ID] = heldVault{o.Name, o.Revision}
		if !o.Declared {
			vaults = append(vaults, k.stored(o))
		}
	}
	sources, retired, err := k.open(byID, vaults)
	if err != nil {
		k.log.Error("vault objects are not open", zap.Error(err))
	}
	k.policies, k.sources = rules.Policies, sources
	return retired, nil
}

// open opens vault objects and says how they are called, together, lest an id be
// looked up by the name that another one has now.
func (k *keeper) open(byID map[string]heldVault, vaults []config.Vault) (sources map[string]authz.Source, retired []*object, err error) {
	k.opening.Lock()
	defer k.opening.Unlock()
	k.vaults = byID
	return k.objects.set(vaults)
}

// stored is how a vault object of the state is reached. One whose mount is refused by
// now is not opened: its requests are unavailable.
func (k *keeper) stored(v admin.VaultObject) config.Vault {
	c := vaultConfig(v)
	if err := k.config.ApartFromState(&c); err != nil {
		k.log.Error("vault objects are not open", zap.Error(fmt.Errorf("vault object %q: %w", v.Name, err)))
		c.Lost = true
	}
	return c
}

// reached waits until decisions are based on a position of the log. Its error says that
// they may still be based on what was before.
func (k *keeper) reached(ctx context.Context, position int) error {
	for {
		k.mu.Lock()
		at, problem, moved := k.position, k.problem, k.moved
		k.mu.Unlock()
		if at >= position {
			return nil
		}
		if problem != nil {
			return fmt.Errorf("a change is not applied here: %w", problem)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("a change is not applied here yet: %w", ctx.Err())
		}
	}
}

// made says of each vault object that was made through the admin API how it is, a line
// each. Nobody's mistake there takes a replica out of service.
func (k *keeper) made() []string {
	k.opening.Lock()
	var names []string
	for _, v := range k.vaults {
		if v.version > 0 {
			names = append(names, v.name)
		}
	}
	k.opening.Unlock()
	slices.Sort(names)
	lines := make([]string, len(names))
	for i, name := range names {
		lines[i] = "vault " + name + ": " + k.objects.report(name)
	}
	return lines
}

// opened returns the open vault object of an id at a version, nil if it could not
// be opened.
func (k *keeper) opened(id string, version int) (b *object, known bool) {
	k.opening.Lock()
	defer k.opening.Unlock()
	v, known := k.vaults[id]
	if !known || v.version != version {
		return nil, false
	}
	return k.objects.named(v.name), true
}
