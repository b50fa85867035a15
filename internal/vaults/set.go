package vaults

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/lastused"
	"github.com/vault-authz/vault-authz/internal/tracing"
)

// Dependencies are what a Set works with.
type Dependencies struct {
	From     Opener
	Digester *authz.Digester
	Metrics  prometheus.Registerer
	Log      *zap.Logger
	// Traces and Uses may be nil.
	Traces *tracing.Traces
	Uses   *lastused.Tracker
}

// A Set is the vault objects that decisions go by. It is safe for concurrent use.
type Set struct {
	Dependencies

	// setting is held from Prepare to the end of the change, while files are read. An
	// invalidation does not wait for it.
	setting sync.Mutex

	// mu is held for moments only.
	mu sync.Mutex
	// known are all of them by their ids, and byName those that are open.
	known  map[string]config.Vault
	byName map[string]*Object
	// retiring are those that were removed and decisions may still use.
	retiring map[*Object]struct{}
	// unstarted are those whose background work Run has yet to start; wake tells it so.
	unstarted []*Object
	wake      chan struct{}
}

// New returns a Set without vault objects, and registers its metrics.
func New(d Dependencies) (*Set, error) {
	s := &Set{Dependencies: d, retiring: map[*Object]struct{}{}, wake: make(chan struct{}, 1)}
	return s, d.Metrics.Register(s.metrics())
}

// Run runs the background work of all vault objects until ctx ends, and returns when it has
// stopped. It is called once.
func (s *Set) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		s.mu.Lock()
		for _, o := range s.unstarted {
			working.Go(func() { s.work(ctx, o) })
		}
		s.unstarted = nil
		s.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// work runs the background work of a vault object until that quits or ctx ends. It closes the
// cache then, and waits for its loads in flight.
func (s *Set) work(ctx context.Context, o *Object) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	begin := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				s.Log.Error("vault object stopped", zap.String("vault", o.config.Name), zap.Error(err))
			}
		})
	}
	begin(o.sweeper.Run)
	if o.server != nil {
		begin(o.server.Run)
	}
	select {
	case <-o.quit:
	case <-ctx.Done():
	}
	s.mu.Lock()
	delete(s.retiring, o)
	s.mu.Unlock()
	cancel()
	o.cache.Close()
}

// Retire closes vault objects that a change has removed when the decisions that began with them
// have ended: after the time that a load may take. At a stop it does not wait.
func (s *Set) Retire(removed []*Object) {
	for _, o := range removed {
		time.AfterFunc(o.config.Cache.LoadTimeout, func() { close(o.quit) })
	}
}

// Named returns the open vault object of a name, nil if there is none.
func (s *Set) Named(name string) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}

// Find returns the vault object of an id, nil if it could not be opened. It is not known if
// there is another version of it, or none.
func (s *Set) Find(id string, version int) (o *Object, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, known := s.known[id]
	if !known || v.Revision != version {
		return nil, false
	}
	return s.byName[v.Name], true
}

// Invalidate drops a credential from the caches of all vault objects.
func (s *Set) Invalidate(accessToken string) {
	s.eachCache(func(c watchedCache) { c.Invalidate(accessToken) })
}

// InvalidateAll drops every credential from every cache.
func (s *Set) InvalidateAll() { s.eachCache(watchedCache.InvalidateAll) }

// eachCache calls do with each cache that decisions may be based on.
func (s *Set) eachCache(do func(watchedCache)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.byName {
		do(o.cache)
	}
	for o := range s.retiring {
		do(o.cache)
	}
}

// all returns every vault object by its id, and those that are open by name.
func (s *Set) all() (known map[string]config.Vault, open map[string]*Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.known), maps.Clone(s.byName)
}
