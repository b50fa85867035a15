package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A keeper keeps what decisions are based on up to date: the entities of the
// configuration, and those that were made through the admin API of any replica.
// It is safe for concurrent use.
type keeper struct {
	config     *config.Config
	objects    *objects
	authorizer *authz.Authorizer
	records    *vaultkv.Records
	log        *zap.Logger

	loaded atomic.Bool

	// turn is held by who reads records and publishes them, so that nothing is
	// covered by what was read before it. It guards held and unpublished.
	turn sync.Mutex
	// held are the records as last read, by kind and id.
	held map[recordKey]authz.Record
	// unpublished: decisions are not based on what is held.
	unpublished bool

	// mu is held for moments only, and while vault objects are opened.
	mu sync.Mutex
	// waiting are for the next one that has the turn.
	waiting []*application
	// missed are changes that could not be read.
	missed map[authz.Change]struct{}
	// vaults are the vault objects by id, as they are open.
	vaults map[string]heldVault
}

// A heldVault is a vault object by its name and the version of its record.
type heldVault struct {
	name    string
	version int
}

// An application is changes that somebody waits for to be applied.
type application struct {
	changes []authz.Change
	// done and err are guarded by the keeper's turn.
	done bool
	err  error
}

func newKeeper(c *config.Config, open *objects, authorizer *authz.Authorizer, records *vaultkv.Records, log *zap.Logger) *keeper {
	return &keeper{config: c, objects: open, authorizer: authorizer, records: records, log: log, missed: map[authz.Change]struct{}{}}
}

// notReady says that the state has not been read yet.
func (k *keeper) notReady() error {
	if k.loaded.Load() {
		return nil
	}
	return errors.New("not read yet")
}

type recordKey struct{ kind, id string }

// entityKinds are the kinds of records that make up the state.
func entityKinds() []string {
	return []string{authz.KindVaults, authz.KindConsumers, authz.KindACLs, authz.KindPolicies}
}

// reload drops every credential that is held and reads all records. Until it has
// succeeded once, every request is unavailable: a policy that is not known yet
// may be stricter than those that are.
func (k *keeper) reload(ctx context.Context) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.objects.invalidateAll()
	held := map[recordKey]authz.Record{}
	for _, kind := range entityKinds() {
		all, err := k.records.List(ctx, kind)
		if err != nil {
			return fmt.Errorf("reading the state: %w", err)
		}
		for _, r := range all {
			held[recordKey{r.Kind, r.ID}] = r
		}
	}
	k.held = held
	if err := k.publish(); err != nil {
		return err
	}
	k.loaded.Store(true)
	return nil
}

// applyTimeout bounds the reading of what has changed.
const applyTimeout = 2 * time.Second

// apply drops and reads again what has changed, or is about to; without changes,
// what could not be read before. Its error says that decisions may still be based
// on what was. What could not be read is read again by run.
//
// Credentials wait for nobody: each is read when it is asked for. They are dropped
// for every vault object, since two may be of the same mount.
func (k *keeper) apply(ctx context.Context, changes []authz.Change) error {
	var records []authz.Change
	for _, c := range changes {
		if c.Kind == authz.KindCredentials {
			k.objects.invalidate(c.ID)
		} else if slices.Contains(entityKinds(), c.Kind) {
			records = append(records, c)
		}
	}
	if len(changes) == 0 {
		records = k.unread()
	}
	if len(records) == 0 {
		return nil
	}
	return k.applyRecords(ctx, records)
}

func (k *keeper) unread() []authz.Change {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.missed))
}

var errNotApplied = errors.New("a change is not applied here yet")

// applyRecords takes along what others wait for: their changes are read together
// and published once, however many come at the same time.
func (k *keeper) applyRecords(ctx context.Context, changes []authz.Change) error {
	own := &application{changes: changes, err: errNotApplied}
	k.mu.Lock()
	k.waiting = append(k.waiting, own)
	k.mu.Unlock()
	k.turn.Lock()
	defer k.turn.Unlock()
	if own.done {
		return own.err
	}
	k.mu.Lock()
	batch := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	defer func() {
		for _, a := range batch {
			a.done = true
		}
	}()
	var all []authz.Change
	seen := map[authz.Change]bool{}
	for _, a := range batch {
		for _, c := range a.changes {
			if !seen[c] {
				seen[c] = true
				all = append(all, c)
			}
		}
	}
	failed, err := k.renew(ctx, all)
	for _, a := range batch {
		a.err = err
		for _, c := range a.changes {
			if a.err == nil && failed[c] != nil {
				a.err = fmt.Errorf("%w: %w", errNotApplied, failed[c])
			}
		}
	}
	return own.err
}

// renew reads records again and publishes what is other than before. The caller
// has the turn.
func (k *keeper) renew(ctx context.Context, changes []authz.Change) (failed map[authz.Change]error, err error) {
	// It is for others, too, so nobody's context ends it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	changed, failed := k.readAgain(ctx, changes)
	if !changed && !k.unpublished || !k.loaded.Load() {
		return failed, nil
	}
	if err := k.publish(); err != nil {
		k.log.Error("the new state is not used", zap.Error(err))
		return failed, fmt.Errorf("%w: %w", errNotApplied, err)
	}
	return failed, nil
}

// retryInterval is how often a change that could not be read is tried again.
const retryInterval = time.Second

// run reads again what apply could not, until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_ = k.apply(ctx, nil) // it logs what it cannot read
	}
}

// readers bounds the reads of changed records that are in flight.
const readers = 16

// readAgain reads records and says whether one is another than the one held, and
// which cannot be read. The caller has the turn.
func (k *keeper) readAgain(ctx context.Context, changes []authz.Change) (changed bool, failed map[authz.Change]error) {
	if k.held == nil {
		return false, nil
	}
	failed = map[authz.Change]error{}
	now := make([]authz.Record, len(changes))
	errs := make([]error, len(changes))
	var g errgroup.Group
	g.SetLimit(readers)
	for i, c := range changes {
		g.Go(func() error {
			now[i], errs[i] = k.records.Get(ctx, c.Kind, c.ID)
			return nil
		})
	}
	_ = g.Wait() // none of them fails for the others
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range changes {
		key := recordKey{c.Kind, c.ID}
		before, was := k.held[key]
		switch {
		case errors.Is(errs[i], authz.ErrNotFound):
			delete(k.held, key)
			changed = changed || was
		case errs[i] != nil:
			failed[c] = errs[i]
			k.missed[c] = struct{}{}
			k.log.Warn("a change is not read yet", zap.String("kind", c.Kind), zap.String("id", c.ID), zap.Error(errs[i]))
			continue
		default:
			k.held[key] = now[i]
			changed = changed || !was || before.Version != now[i].Version
		}
		delete(k.missed, c)
	}
	return changed, failed
}

// opened returns the open vault object of an id at a version, nil if it could not
// be opened.
func (k *keeper) opened(id string, version int) (b *object, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, known := k.vaults[id]
	if !known || v.version != version {
		return nil, false
	}
	return k.objects.named(v.name), true
}

// publish makes decisions go by the records that are held. The caller has the
// turn.
func (k *keeper) publish() error {
	k.unpublished = true
	records := make([]authz.Record, 0, len(k.held))
	for _, r := range k.held {
		records = append(records, r)
	}
	state, err := admin.Entities(declared(k.config), records)
	if err != nil {
		return err
	}
	for _, problem := range state.Problems {
		k.log.Error("entities do not fit together", zap.Error(problem))
	}
	vaults := slices.Clone(k.config.Vaults)
	byID := map[string]heldVault{}
	for _, v := range state.Vaults {
		byID[v.ID] = heldVault{v.Name, v.Revision}
		if !v.Declared {
			vaults = append(vaults, k.stored(v))
		}
	}
	k.mu.Lock()
	// Together, lest an id be looked up by the name that another one has now.
	k.vaults = byID
	sources, retired, err := k.objects.set(vaults)
	k.mu.Unlock()
	if err != nil {
		k.log.Error("vault objects are not open", zap.Error(err))
	}
	defer func() { k.objects.close(retired) }()
	snapshot, err := authz.NewSnapshot(state.Policies, state.Consumers, sources)
	if err != nil {
		return err
	}
	k.authorizer.Replace(snapshot)
	k.unpublished = false
	return nil
}

// stored is how a vault object of the state is opened. One that an earlier version
// took, and that is refused now, is not.
func (k *keeper) stored(v admin.VaultObject) config.Vault {
	c := vaultConfig(v)
	if err := k.config.ApartFromState(&c); err != nil {
		k.log.Error("vault objects are not open", zap.Error(fmt.Errorf("vault object %q: %w", v.Name, err)))
		c.Lost = true
	}
	return c
}
