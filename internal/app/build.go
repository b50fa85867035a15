package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/lastused"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/replicas"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/internal/version"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A service is everything that runs, wired together.
type service struct {
	server  *server.Server
	metrics http.Handler
	// registry has what metrics shows.
	registry *prometheus.Registry
	// connections counts those of all listeners.
	connections *server.Connections
	// runs are the parts that work in the background until ctx ends.
	runs []func(ctx context.Context) error
	// admin is nil without a state.
	admin *admin.API
	tls   listenersTLS
	// decider is what the gRPC server asks.
	decider envoy.Decider
	// uses and replicas are nil without a state.
	uses     *lastused.Tracker
	replicas *replicas.List
	// denials are those that can be explained after the fact, and history counts decisions.
	denials *authz.Denials
	history *authz.History
	started time.Time
	// current is decider if there is a state.
	current currentDecider
	// reloader is nil if the configuration is not read from a file.
	reloader *reloader

	// These are what a reload changes. reconciler and store are nil without a state; sample is the
	// setting that decisions was made with.
	logs       *logging.Logs
	backends   *vaultBackends
	authorizer *authz.Authorizer
	reconciler *reconciler
	store      *state.Store
	decisions  atomic.Pointer[authz.DecisionLog]
	sample     int
	// config is what the service goes by.
	config atomic.Pointer[config.Config]
}

// An engineOpener opens what keeps credentials and state.
type engineOpener interface {
	// engine opens the KV engine of a vault object. ready is what readiness asks
	// of it; run may be nil.
	engine(v *config.Vault, log *zap.Logger) (e vaultkv.Engine, ready func() error, run func(context.Context) error, err error)
	// state opens the mount with the state, on the server of an engine that was
	// opened by engine.
	state(of vaultkv.Engine, mount string, log *zap.Logger) (kv state.Engine, run func(context.Context) error, err error)
}

// build wires the service for a configuration: an engine, a store and a cache for each vault
// object; a snapshot of the entities, which a reconciler keeps up to date where there is a
// state; the decision; the gRPC server for Envoy and the admin API for operators.
// traces may be nil.
func build(c *config.Config, from engineOpener, traces *tracing.Traces, logs *logging.Logs) (*service, error) {
	registry, log := prometheus.NewRegistry(), logs.Log
	registry.MustRegister(version.Metric(), logs.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	digester := authz.NewDigester()
	open := newVaultBackends(from, digester, registry, log)
	open.traces = traces
	if c.State.Vault != "" {
		open.uses = lastused.New(log.Named("lastused"))
	}
	s := &service{logs: logs, backends: open, registry: registry, metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}), started: time.Now(), runs: []func(context.Context) error{open.Run}}
	s.config.Store(c)

	var err error
	if s.connections, err = server.NewConnections(registry, grpcListener, probesListener, adminListener); err != nil {
		return nil, err
	}
	if s.tls, err = loadListenersTLS(c, registry, log); err != nil {
		return nil, err
	}
	for _, w := range s.tls.enabled() {
		s.runs = append(s.runs, w.Run)
	}
	sources, _, err := open.set(c.Vaults)
	if err != nil {
		return nil, err
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		return nil, err
	}
	checks := vaultChecks(c, open)
	authorizer := authz.New(snapshot, digester, c.Grammar)
	metrics, err := authz.NewMetrics(registry, authorizer, tracing.TraceOf)
	if err != nil {
		return nil, err
	}
	s.authorizer, s.decider, s.denials, s.history = authorizer, authorizer, authz.NewDenials(authorizer), authz.NewHistory(metrics)
	s.sample = c.Log.AllowSample
	s.decisions.Store(authz.NewDecisionLog(logs.Decisions, s.sample, tracing.TraceOf))
	if c.State.Vault != "" {
		// A stored policy may be stricter than the declared ones, so nothing is decided
		// before the state has been read.
		authorizer.Replace(nil)
		reconciler, store, err := s.wireState(c, from, open, authorizer, registry, logs)
		if err != nil {
			return nil, err
		}
		checks = append(checks, server.Check{Name: "state", Func: func() error {
			if err := reconciler.notReady(); err != nil {
				return errors.Join(err, store.Problem())
			}
			return nil
		}, Detail: func() (string, bool) { return lagText(store.Lag(), store.Problem()), store.Problem() == nil }, More: reconciler.reports})
		s.decider = s.current
		s.runs = append(s.runs, s.history.Run)
	}
	s.server = server.New(log.Named("server"), grpcServer(c, s.decider, metrics, &s.decisions, s.denials, traces, s.tls, registry, logs), checks,
		server.Drain{Wait: c.Drain.Wait, Timeout: c.Drain.Timeout})
	return s, nil
}

// vaultChecks returns a check for each vault object of the start. One that a reload adds,
// changes or removes is shown, and readiness does not depend on it: a bad change must not stop
// all replicas.
func vaultChecks(c *config.Config, open *vaultBackends) []server.Check {
	var checks []server.Check
	started := map[*vaultBackend]bool{}
	for i := range c.Vaults {
		name := c.Vaults[i].Name
		first := open.named(name)
		started[first] = true
		checks = append(checks, server.Check{
			Name: "vault " + name,
			Func: func() error {
				if open.named(name) != first {
					return nil
				}
				return first.ready()
			},
			Detail: func() (string, bool) {
				if open.named(name) != first {
					return "changed by a reload", true
				}
				return open.condition(name)
			},
		})
	}
	if len(checks) > 0 {
		checks[len(checks)-1].More = func() []string { return open.reportsWithout(started) }
	}
	return checks
}

// wireState wires the state, its reconciler and the admin API.
func (s *service) wireState(c *config.Config, from engineOpener, open *vaultBackends, authorizer *authz.Authorizer, reg prometheus.Registerer, logs *logging.Logs) (*reconciler, *state.Store, error) {
	log := logs.Log.Named("state")
	kv, run, err := from.state(open.named(c.State.Vault).engine, c.State.Mount, log)
	if err != nil {
		return nil, nil, fmt.Errorf("state: %w", err)
	}
	following := state.DefaultConfig()
	following.Interval = c.State.Poll
	following.MaxStale = maxStale(c)
	r := newReconciler(c, open, authorizer, log)
	store, err := state.New(kv, following, r.watcher(), log)
	if err != nil {
		return nil, nil, err
	}
	open.uses.KeepIn(kv)
	held := records{store, r}
	s.admin, err = admin.New(c.Admin, admin.Dependencies{
		Store:        held,
		Leases:       store,
		Announce:     held,
		Vaults:       credentials{held},
		TryVault:     credentials{held}.try,
		Judge:        judge(authorizer),
		Explain:      explainUnavailable,
		Denials:      s.denials.Find,
		Overview:     s.overview,
		LastUsed:     lastUses{open.uses},
		Decide:       s.explain,
		Replica:      replicaName(),
		Declared:     r.declaration.Load().entities,
		Version:      version.Number(),
		Metrics:      reg,
		Log:          log.Named("admin"),
		Audit:        logs.Audit,
		AuditFailure: c.Log.Audit.OnFailure,
	})
	if err != nil {
		return nil, nil, err
	}
	s.reconciler, s.store, s.uses = r, store, open.uses
	s.current = newCurrentDecider(authorizer, store.Current)
	s.replicas = replicas.NewList(kv, s.replica, log.Named("replicas"))
	s.runs = append(s.runs, func(ctx context.Context) error { return r.run(ctx, store) }, store.Follow, open.uses.Run, s.replicas.Run)
	if run != nil {
		s.runs = append(s.runs, run)
	}
	return r, store, reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vault_authz_state_lag_seconds",
		Help: "The time since the last proof that what is known of the state is current.",
	}, func() float64 { return store.Lag().Seconds() }))
}

// lagText says how long ago the state was last proved to be current, and what has prevented
// a later proof.
func lagText(lag time.Duration, problem error) string {
	text := "known to be current " + lag.Round(100*time.Millisecond).String() + " ago"
	if problem != nil {
		text += ", " + problem.Error()
	}
	return text
}

// maxStale returns for how long decisions go on without a proof that the state is current:
// the longest max_stale of the configured vault objects.
func maxStale(c *config.Config) time.Duration {
	longest := time.Duration(0)
	for i := range c.Vaults {
		longest = max(longest, c.Vaults[i].Cache.MaxStale)
	}
	return longest
}

// rules tells the cache how long a credential lives and what its errors mean. The hard limits
// of credentials are not the cache's: the decision applies them to every request.
func rules() cache.Rules[authz.Credential] {
	return cache.Rules[authz.Credential]{
		Lifetime: func(c authz.Credential) time.Duration { return c.TTL },
		Absent: func(err error) bool {
			return errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed)
		},
		Unavailable: func(err error) bool { return errors.Is(err, authz.ErrUnavailable) },
		Limited: func(err error) bool {
			var problem *vaultkv.Error
			return errors.As(err, &problem) && problem.State == vaultkv.StateLimited
		},
	}
}

// serverEngines opens vault objects on their servers.
type serverEngines struct {
	// clusters is what vault objects know about their clusters. With nil they share nothing.
	clusters *vaultkv.Clusters
}

// newServerEngines returns engines that share what they know about their clusters. The polls
// of the state prove that its cluster is current.
func newServerEngines(c *config.Config) serverEngines {
	// A slow poll does not mean that the cluster fails.
	return serverEngines{vaultkv.NewClusters(max(vaultkv.DefaultProofAge, 5*c.State.Poll/2))}
}

func (s serverEngines) engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, func() error, func(context.Context) error, error) {
	for _, setting := range v.InsecureSettings() {
		log.Warn("insecure setting", zap.String("vault", v.Name), zap.String("setting", setting))
	}
	open := vaultkv.New
	if s.clusters != nil {
		open = s.clusters.New
	}
	vault, err := open(v.Config, log)
	if err != nil {
		return nil, nil, nil, err
	}
	ready := func() error {
		if vault.Ready() {
			return nil
		}
		return fmt.Errorf("not reached yet, state %s", vault.State())
	}
	return vault, ready, vault.Run, nil
}

func (serverEngines) state(of vaultkv.Engine, mount string, log *zap.Logger) (state.Engine, func(context.Context) error, error) {
	home, ok := of.(*vaultkv.Vault)
	if !ok {
		return nil, nil, fmt.Errorf("the vault object is a %T, which has no server", of)
	}
	vault, err := home.WithMount("state", mount, vaultkv.KV2, log)
	if err != nil {
		return nil, nil, err
	}
	return vault, vault.Run, nil
}
