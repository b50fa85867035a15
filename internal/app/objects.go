package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// An object is an open vault object: its engine, and the cache in front of it.
// Its cache belongs to it alone, so that nothing found under one connection or
// mount can answer for another.
type object struct {
	config config.Vault
	engine vaultkv.Engine
	cache  *cache.Cache[authz.Credential]
	ready  func() error
	// runs are what works in the background until quit.
	runs []func(context.Context) error
	// metrics is registered while the object is open.
	metrics prometheus.Collector
	// quit is closed to end runs.
	quit chan struct{}
}

// objects are the vault objects that are open, by name. It is safe for
// concurrent use.
type objects struct {
	from     backends
	digester *authz.Digester
	registry prometheus.Registerer
	log      *zap.Logger

	// setting is held by set, which reads files: nothing that is urgent waits for
	// it.
	setting sync.Mutex

	// mu is held for moments only.
	mu     sync.Mutex
	byName map[string]*object
	// leaving are taken out, and decisions may still use them.
	leaving map[*object]struct{}
	// fresh are objects whose background work Run has yet to begin, and wake
	// tells it so.
	fresh []*object
	wake  chan struct{}
	// closing are caches that wait for their loads in flight.
	closing sync.WaitGroup
}

func newObjects(from backends, digester *authz.Digester, registry prometheus.Registerer, log *zap.Logger) *objects {
	return &objects{from: from, digester: digester, registry: registry, log: log, byName: map[string]*object{}, leaving: map[*object]struct{}{}, wake: make(chan struct{}, 1)}
}

// set opens what is new, and opens anew what has changed. It returns the Source
// of each vault object, and what is open no longer: the caller closes it when no
// decision begins with it any more. An object that cannot be opened fails alone:
// its requests are unavailable, and err names it.
func (o *objects) set(wanted []config.Vault) (sources map[string]authz.Source, retired []*object, err error) {
	o.setting.Lock()
	defer o.setting.Unlock()
	sources = map[string]authz.Source{}
	var errs []error
	for i := range wanted {
		v := &wanted[i]
		if v.Lost {
			sources[v.Name] = closed{}
			continue
		}
		current := o.named(v.Name)
		if current == nil || current.config != *v {
			retired = append(retired, o.take(v.Name)...)
			if current, err = o.openOne(v); err != nil {
				errs = append(errs, fmt.Errorf("vault object %q: %w", v.Name, err))
				sources[v.Name] = closed{}
				continue
			}
		}
		sources[v.Name] = current.cache
	}
	for _, name := range o.names() {
		if sources[name] == nil {
			retired = append(retired, o.take(name)...)
		}
	}
	return sources, retired, errors.Join(errs...)
}

// openOne opens an object. The caller holds setting.
func (o *objects) openOne(v *config.Vault) (*object, error) {
	log := o.log.Named("vault")
	engine, ready, run, err := o.from.engine(v, log)
	if err != nil {
		return nil, err
	}
	cached, err := cache.New(v.Cache, vaultkv.NewStore(v.Name, engine, o.digester, log).Lookup, rules())
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	sweeper := vaultkv.NewSweeper(v.Name, engine, cached, v.Sweep, log)
	b := &object{
		config: *v, engine: engine, cache: cached, ready: ready, runs: []func(context.Context) error{sweeper.Run},
		metrics: objectMetrics(v.Name, engine, cached, sweeper), quit: make(chan struct{}),
	}
	if run != nil {
		b.runs = append(b.runs, run)
	}
	if err := o.registry.Register(b.metrics); err != nil {
		cached.Close()
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.byName[v.Name] = b
	o.fresh = append(o.fresh, b)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return b, nil
}

// take removes an object, if it is there. The caller holds setting.
func (o *objects) take(name string) []*object {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.byName[name]
	if b == nil {
		return nil
	}
	delete(o.byName, name)
	o.leaving[b] = struct{}{}
	o.registry.Unregister(b.metrics)
	return []*object{b}
}

// close ends objects that were taken out. Loads in flight are waited for in the
// background: they must not hold up anybody else.
func (o *objects) close(retired []*object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range retired {
		delete(o.leaving, b)
		close(b.quit)
		o.closing.Go(b.cache.Close)
	}
}

// Run lets the objects work in the background until ctx ends, and returns when
// they have stopped. It is called once.
func (o *objects) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		o.mu.Lock()
		for _, b := range o.fresh {
			working.Go(func() { o.work(ctx, b) })
		}
		o.fresh = nil
		o.mu.Unlock()
		select {
		case <-o.wake:
			continue
		case <-ctx.Done():
		}
		break
	}
	var retired []*object
	o.setting.Lock()
	for _, name := range o.names() {
		retired = append(retired, o.take(name)...)
	}
	o.setting.Unlock()
	o.close(retired)
	o.closing.Wait()
	return nil
}

// work runs what an object does in the background, until ctx ends or the object
// is closed.
func (o *objects) work(ctx context.Context, b *object) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-b.quit:
		case <-ctx.Done():
		}
		cancel()
	}()
	var running sync.WaitGroup
	for _, run := range b.runs {
		running.Go(func() {
			if err := run(ctx); err != nil {
				o.log.Error("vault object stopped", zap.String("vault", b.config.Name), zap.Error(err))
			}
		})
	}
	running.Wait()
}

func (o *objects) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.byName))
}

// named returns an open object, or nil.
func (o *objects) named(name string) *object {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byName[name]
}

// invalidate drops a credential, whatever the vault object that it is held for.
func (o *objects) invalidate(key string) {
	o.eachCache(func(c *cache.Cache[authz.Credential]) { c.Invalidate(key) })
}

// invalidateAll drops every credential that is held.
func (o *objects) invalidateAll() {
	o.eachCache(func(c *cache.Cache[authz.Credential]) { c.InvalidateAll() })
}

// eachCache calls do with each cache that decisions may be based on.
func (o *objects) eachCache(do func(*cache.Cache[authz.Credential])) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.byName {
		do(b.cache)
	}
	for b := range o.leaving {
		do(b.cache)
	}
}

// notReady says which of the named objects has not been reached yet.
func (o *objects) notReady(name string) error {
	if b := o.named(name); b != nil {
		return b.ready()
	}
	return errors.New("not open")
}

// condition says in a few words how an open object is.
func (o *objects) condition(name string) string {
	if b := o.named(name); b != nil {
		if w, ok := b.engine.(watched); ok {
			return condition(w)
		}
	}
	return "in memory"
}

// report says in a few words how an object is, open or not.
func (o *objects) report(name string) string {
	b := o.named(name)
	if b == nil {
		return "not open; the log says why"
	}
	if w, ok := b.engine.(watched); ok && w.State() != vaultkv.StateOK {
		return condition(w)
	}
	return "ok (" + o.condition(name) + ")"
}

// closed is the Source of a vault object that could not be opened.
type closed struct{}

func (closed) Lookup(context.Context, string) (authz.Credential, error) {
	return authz.Credential{}, fmt.Errorf("%w: the vault object could not be opened", authz.ErrUnavailable)
}
