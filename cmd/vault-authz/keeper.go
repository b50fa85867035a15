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

	mu sync.Mutex
	// held are the records as last read, by kind and id.
	held map[recordKey]authz.Record
	// missed are changes that could not be read.
	missed map[authz.Change]struct{}
	// vaultNames are the names of vault objects by id.
	vaultNames map[string]string
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
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = held
	if err := k.publish(); err != nil {
		return err
	}
	k.loaded.Store(true)
	return nil
}

// applyTimeout bounds the reading of what has changed.
const applyTimeout = 2 * time.Second

// apply drops and reads again what has changed, or is about to. What could not
// be read is read again by run.
func (k *keeper) apply(changes []authz.Change) {
	k.applyWithin(context.Background(), changes) //nolint:forbidigo // a change holds whoever asked for it
}

func (k *keeper) applyWithin(ctx context.Context, changes []authz.Change) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := false
	for _, c := range changes {
		if c.Kind == authz.KindCredentials {
			if b := k.objects.named(k.vaultNames[c.Vault]); b != nil {
				b.cache.Invalidate(c.ID)
			}
			continue
		}
		again, err := k.readAgain(ctx, c)
		if err != nil {
			k.missed[c] = struct{}{}
			k.log.Warn("a change is not read yet", zap.String("kind", c.Kind), zap.String("id", c.ID), zap.Error(err))
			continue
		}
		delete(k.missed, c)
		changed = changed || again
	}
	if !changed || !k.loaded.Load() {
		return
	}
	if err := k.publish(); err != nil {
		k.log.Error("the new state is not used", zap.Error(err))
	}
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
		k.mu.Lock()
		missed := slices.Collect(maps.Keys(k.missed))
		k.mu.Unlock()
		if len(missed) > 0 {
			k.applyWithin(ctx, missed)
		}
	}
}

// readAgain reads one record and says whether it is another than the one held.
// The caller holds mu.
func (k *keeper) readAgain(ctx context.Context, c authz.Change) (bool, error) {
	if !slices.Contains(entityKinds(), c.Kind) || k.held == nil {
		return false, nil
	}
	key := recordKey{c.Kind, c.ID}
	before, was := k.held[key]
	r, err := k.records.Get(ctx, c.Kind, c.ID)
	switch {
	case errors.Is(err, authz.ErrNotFound):
		delete(k.held, key)
		return was, nil
	case err != nil:
		return false, err
	}
	k.held[key] = r
	return !was || before.Version != r.Version, nil
}

// publish makes decisions go by the records that are held. The caller holds mu.
func (k *keeper) publish() error {
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
	names := map[string]string{}
	for _, v := range state.Vaults {
		names[v.ID] = v.Name
		if !v.Declared {
			vaults = append(vaults, vaultConfig(v))
		}
	}
	k.vaultNames = names
	sources, retired, err := k.objects.set(vaults)
	if err != nil {
		k.log.Error("vault objects are not open", zap.Error(err))
	}
	defer func() { k.objects.close(retired) }()
	snapshot, err := authz.NewSnapshot(state.Policies, state.Consumers, sources)
	if err != nil {
		return err
	}
	k.authorizer.Replace(snapshot)
	return nil
}
