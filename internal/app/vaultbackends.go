package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/expiring"
	"github.com/vault-authz/vault-authz/internal/lastused"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A vaultBackend is an open vault object: its engine, and the cache in front of it. Each has
// a cache of its own, so that nothing found over one connection or in one mount can answer
// for another.
type vaultBackend struct {
	config config.Vault
	engine vaultkv.Engine
	cache  watchedCache
	ready  func() error
	// runs is the background work, which ends when quit is closed.
	runs []func(context.Context) error
	quit chan struct{}
	// metrics is registered while the backend is open.
	metrics prometheus.Collector
	// tries are tries of the connection.
	tries singleflight.Group
}

// vaultBackends are the vault objects that are open, by name. It is safe for concurrent use.
type vaultBackends struct {
	from     engineOpener
	digester *authz.Digester
	registry prometheus.Registerer
	log      *zap.Logger
	// traces and uses may be nil.
	traces *tracing.Traces
	uses   *lastused.Tracker

	// setting is held from prepare to the end of the change, while files are read. An
	// invalidation does not wait for it.
	setting sync.Mutex

	// mu is held for moments only.
	mu     sync.Mutex
	byName map[string]*vaultBackend
	// retiring are those that were removed and decisions may still use.
	retiring map[*vaultBackend]struct{}
	// unstarted are those whose background work Run has yet to start; wake tells it so.
	unstarted []*vaultBackend
	wake      chan struct{}
	// closing counts the backends that wait for their last decisions or loads; stopped,
	// closed at the end of Run, tells them not to wait for decisions.
	closing sync.WaitGroup
	stopped chan struct{}
	// waiting says that Run waits for closing, so that nothing may be added to it.
	waiting bool
}

func newVaultBackends(from engineOpener, digester *authz.Digester, registry prometheus.Registerer, log *zap.Logger) *vaultBackends {
	return &vaultBackends{from: from, digester: digester, registry: registry, log: log, byName: map[string]*vaultBackend{}, retiring: map[*vaultBackend]struct{}{}, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
}

// open opens a vault object. Its background work begins when it is added.
func (bs *vaultBackends) open(v *config.Vault) (*vaultBackend, error) {
	log := bs.log.Named("vault")
	engine, ready, run, err := bs.from.engine(v, log)
	if err != nil {
		return nil, err
	}
	reads := vaultkv.NewTimed(v.Name, vaultkv.NewStore(v.Name, engine, bs.digester, log))
	soon := expiring.New(v.Cache.Capacity)
	credentials, err := cache.New(v.Cache, screened(v.TokenPrefix, bs.traces.Read(v.Name, bs.tracked(soon, reads.Lookup))), bs.traces.Rules(rules()))
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	cached := watchedCache{credentials, soon}
	sweeper := vaultkv.NewSweeper(v.Name, engine, cached, v.Sweep, log)
	b := &vaultBackend{
		config: *v, engine: engine, cache: cached, ready: ready, runs: []func(context.Context) error{sweeper.Run},
		metrics: append(vaultMetrics(v.Name, engine, cached, sweeper), reads), quit: make(chan struct{}),
	}
	if run != nil {
		b.runs = append(b.runs, run)
	}
	return b, nil
}

// screened answers for a mistyped access token without a read of the vault object. It stands
// behind the cache, so that the answer is that for an unknown one and counts against the same
// limits, and a hit costs nothing. It does not need the server: while that does not answer,
// an unknown token gets a 503 and a mistyped one does not.
func screened(prefix authz.TokenPrefix, read tracing.Read) tracing.Read {
	if prefix == "" {
		return read
	}
	return func(ctx context.Context, accessToken string) (authz.Credential, error) {
		if prefix.Mistyped(accessToken) {
			return authz.Credential{}, fmt.Errorf("its checksum is wrong: %w", authz.ErrNotFound)
		}
		return read(ctx, accessToken)
	}
}

// add makes a backend the one of its name, of which there is no other. The caller holds
// setting.
func (bs *vaultBackends) add(b *vaultBackend) {
	if err := bs.registry.Register(b.metrics); err != nil {
		bs.log.Error("the metrics of a vault object are missing; please report it", zap.String("vault", b.config.Name), zap.Error(err))
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.byName[b.config.Name] = b
	bs.unstarted = append(bs.unstarted, b)
	select {
	case bs.wake <- struct{}{}:
	default:
	}
}

// remove removes a backend, if there is one of that name. The caller holds setting.
func (bs *vaultBackends) remove(name string) []*vaultBackend {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.byName[name]
	if b == nil {
		return nil
	}
	delete(bs.byName, name)
	bs.retiring[b] = struct{}{}
	bs.registry.Unregister(b.metrics)
	return []*vaultBackend{b}
}

// retire closes removed backends when the decisions that began with them have ended: after the
// time that a load may take. At a stop it does not wait.
func (bs *vaultBackends) retire(retired []*vaultBackend) {
	for _, b := range retired {
		bs.background(func() {
			end := time.NewTimer(b.config.Cache.LoadTimeout)
			defer end.Stop()
			select {
			case <-end.C:
			case <-bs.stopped:
			}
			bs.close([]*vaultBackend{b})
		})
	}
}

// close ends removed backends. It waits for their loads in flight in the background.
func (bs *vaultBackends) close(retired []*vaultBackend) {
	for _, b := range retired {
		bs.mu.Lock()
		delete(bs.retiring, b)
		bs.mu.Unlock()
		close(b.quit)
		bs.background(b.cache.Close)
	}
}

// background lets Run wait for do, or calls do at once if Run waits already: a reload may
// retire a backend while the service stops.
func (bs *vaultBackends) background(do func()) {
	bs.mu.Lock()
	if !bs.waiting {
		bs.closing.Go(do)
		bs.mu.Unlock()
		return
	}
	bs.mu.Unlock()
	do()
}

// Run runs the background work of all backends until ctx ends, and returns when it has
// stopped. It is called once.
func (bs *vaultBackends) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		bs.mu.Lock()
		for _, b := range bs.unstarted {
			working.Go(func() { bs.work(ctx, b) })
		}
		bs.unstarted = nil
		bs.mu.Unlock()
		select {
		case <-bs.wake:
			continue
		case <-ctx.Done():
		}
		break
	}
	var retired []*vaultBackend
	bs.setting.Lock()
	for _, name := range bs.names() {
		retired = append(retired, bs.remove(name)...)
	}
	bs.setting.Unlock()
	bs.close(retired)
	close(bs.stopped)
	bs.mu.Lock()
	bs.waiting = true
	bs.mu.Unlock()
	bs.closing.Wait()
	return nil
}

// work runs the background work of one backend until ctx ends or the backend is closed.
func (bs *vaultBackends) work(ctx context.Context, b *vaultBackend) {
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
				bs.log.Error("vault object stopped", zap.String("vault", b.config.Name), zap.Error(err))
			}
		})
	}
	running.Wait()
}

func (bs *vaultBackends) names() []string {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return slices.Collect(maps.Keys(bs.byName))
}

// named returns an open backend, or nil.
func (bs *vaultBackends) named(name string) *vaultBackend {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.byName[name]
}

// invalidate drops a credential from the caches of all vault objects.
func (bs *vaultBackends) invalidate(key string) {
	bs.eachCache(func(c watchedCache) { c.Invalidate(key) })
}

// invalidateAll drops every credential from every cache.
func (bs *vaultBackends) invalidateAll() {
	bs.eachCache(func(c watchedCache) { c.InvalidateAll() })
}

// eachCache calls do with each cache that decisions may be based on.
func (bs *vaultBackends) eachCache(do func(watchedCache)) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for _, b := range bs.byName {
		do(b.cache)
	}
	for b := range bs.retiring {
		do(b.cache)
	}
}

// reportsWithout describes each declared vault object but some in a line. Those of the state
// are described by the reconciler.
func (bs *vaultBackends) reportsWithout(some map[*vaultBackend]bool) []string {
	var lines []string
	for _, name := range slices.Sorted(slices.Values(bs.names())) {
		if b := bs.named(name); b != nil && !some[b] && b.config.Revision == 0 {
			lines = append(lines, "vault "+name+": "+bs.report(name))
		}
	}
	return lines
}

// condition says in a few words what state an open vault object is in, and whether it can
// read credentials.
func (bs *vaultBackends) condition(name string) (text string, well bool) {
	if b := bs.named(name); b != nil {
		if w, ok := b.engine.(vaultStatus); ok {
			return condition(w)
		}
	}
	return "in memory", true
}

// report says in a few words what state a vault object is in, open or not.
func (bs *vaultBackends) report(name string) string {
	if bs.named(name) == nil {
		return "not open; the log says why"
	}
	text, well := bs.condition(name)
	if !well {
		return text
	}
	return "ok (" + text + ")"
}

// unopened is the Source of a vault object that could not be opened.
type unopened struct{}

func (unopened) Lookup(context.Context, string) (authz.Credential, error) {
	return authz.Credential{}, fmt.Errorf("%w: the vault object could not be opened", authz.ErrUnavailable)
}
