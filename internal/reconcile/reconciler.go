package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
)

// A Reconciler keeps the snapshot that decisions are based on up to date with the entities:
// those of the configuration, and those that were made through the admin API of any replica.
// It is safe for concurrent use.
type Reconciler struct {
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

// New returns a Reconciler that publishes nothing before Run.
func New(c *config.Config, open *vaults.Set, authorizer *authz.Authorizer, log *zap.Logger) *Reconciler {
	r := &Reconciler{
		vaults: open, authorizer: authorizer, log: log,
		wake: make(chan struct{}, 1), published: make(chan struct{}), position: -1, pending: pending{all: true},
	}
	r.declaration.Store(newDeclaration(c))
	return r
}

// Watcher returns what the store calls about changes.
func (r *Reconciler) Watcher() state.Watcher {
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

// enqueue adds changes that lead to v to what is pending, and wakes Run.
func (r *Reconciler) enqueue(p pending, v *state.View) {
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

// Ready is an error until decisions go by the state for the first time.
func (r *Reconciler) Ready() error {
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

// Run publishes changes until ctx ends. A publication that fails is tried again at the next
// change, and after a while without one: the cause may lie outside of the state.
func (r *Reconciler) Run(ctx context.Context, store *state.Store) error {
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
func (r *Reconciler) publish() (*state.View, error) {
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

// Await waits until decisions are based on a position of the log. Its error says that
// they may still be based on what was before. A problem with an earlier position is no
// error: the change may be what ends it.
func (r *Reconciler) Await(ctx context.Context, position int) error {
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
