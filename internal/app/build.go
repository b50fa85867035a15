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
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/lastused"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/reconcile"
	"github.com/vault-authz/vault-authz/internal/replicas"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/internal/vaults"
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
	current reconcile.Gate
	// reloader is nil if the configuration is not read from a file.
	reloader *reloader

	// These are what a reload changes. reconciler and store are nil without a state; sample is the
	// setting that decisions was made with.
	logs       *logging.Logs
	vaults     *vaults.Set
	authorizer *authz.Authorizer
	reconciler *reconcile.Reconciler
	store      *state.Store
	decisions  atomic.Pointer[authz.DecisionLog]
	sample     int
	// config is what the service goes by.
	config atomic.Pointer[config.Config]
}

// An engineOpener opens what keeps credentials and state.
type engineOpener interface {
	vaults.Opener
	// state opens the mount with the state, on the server of an engine that was opened
	// before. run may be nil.
	state(of vaultkv.Engine, mount string, log *zap.Logger) (kv state.Engine, run func(context.Context) error, err error)
}

// build wires the service for a configuration: an engine, a store and a cache for each vault
// object; a snapshot of the entities, which a reconciler keeps up to date where there is a
// state; the decision; the gRPC server for Envoy and the admin API for operators.
// traces may be nil.
func build(c *config.Config, from engineOpener, traces *tracing.Traces, logs *logging.Logs) (*service, error) {
	registry, log := prometheus.NewRegistry(), logs.Log
	registry.MustRegister(version.Metric(), logs.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &service{logs: logs, registry: registry, metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}), started: time.Now()}
	s.config.Store(c)
	if c.State.Vault != "" {
		s.uses = lastused.New(log.Named("lastused"))
	}
	digester := authz.NewDigester()
	var err error
	if s.vaults, err = vaults.New(vaults.Dependencies{From: from, Digester: digester, Metrics: registry, Log: log, Traces: traces, Uses: s.uses}); err != nil {
		return nil, err
	}
	s.runs = append(s.runs, s.vaults.Run)
	if s.connections, err = server.NewConnections(registry, grpcListener, probesListener, adminListener); err != nil {
		return nil, err
	}
	if s.tls, err = loadListenersTLS(c, registry, log); err != nil {
		return nil, err
	}
	for _, l := range s.tls.enabled() {
		s.runs = append(s.runs, l.Run)
	}
	sources, _, err := s.vaults.Replace(c.Vaults)
	if err != nil {
		return nil, err
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		return nil, err
	}
	checks := vaultChecks(c, s.vaults)
	s.authorizer = authz.New(snapshot, digester, c.Grammar)
	metrics, err := authz.NewMetrics(registry, s.authorizer, tracing.TraceOf)
	if err != nil {
		return nil, err
	}
	s.decider, s.denials, s.history = s.authorizer, authz.NewDenials(s.authorizer), authz.NewHistory(metrics)
	s.sample = c.Log.AllowSample
	s.decisions.Store(authz.NewDecisionLog(logs.Decisions, s.sample, tracing.TraceOf))
	if c.State.Vault != "" {
		// A stored policy may be stricter than the declared ones, so nothing is decided
		// before the state has been read.
		s.authorizer.Replace(nil)
		if err := s.wireState(c, from); err != nil {
			return nil, err
		}
		s.decider = s.current
		checks = append(checks, s.stateCheck())
		s.runs = append(s.runs, s.history.Run)
	}
	s.server = server.New(log.Named("server"), grpcServer(c, s.decider, metrics, &s.decisions, s.denials, traces, s.tls, registry, logs), checks,
		server.Drain{Wait: c.Drain.Wait, Timeout: c.Drain.Timeout})
	return s, nil
}

// vaultChecks returns a check for each vault object of the start. One that a reload adds,
// changes or removes is shown, and readiness does not depend on it: a bad change must not stop
// all replicas.
func vaultChecks(c *config.Config, open *vaults.Set) []server.Check {
	var checks []server.Check
	started := map[string]bool{}
	for i := range c.Vaults {
		name := c.Vaults[i].Name
		first := open.Named(name)
		started[name] = true
		checks = append(checks, server.Check{
			Name: "vault " + name,
			Func: func() error {
				if open.Named(name) != first {
					return nil
				}
				return first.Ready()
			},
			Detail: func() (string, bool) {
				now := open.Named(name)
				switch now {
				case nil:
					return "removed by a reload", true
				case first:
					return first.Condition()
				}
				text, well := now.Condition()
				return "changed by a reload, " + text, well
			},
		})
	}
	if len(checks) > 0 {
		checks[len(checks)-1].More = func() []string {
			return open.Reports(func(v *config.Vault) bool { return v.ID == "" && !started[v.Name] })
		}
	}
	return checks
}

// stateCheck returns the check of the state. It also shows the vault objects that were made
// through the admin API, on which readiness does not depend: one bad vault object must not stop
// all replicas.
func (s *service) stateCheck() server.Check {
	return server.Check{
		Name: "state",
		Func: func() error {
			if err := s.reconciler.Ready(); err != nil {
				return errors.Join(err, s.store.Problem())
			}
			return nil
		},
		Detail: func() (string, bool) {
			problem := s.store.Problem()
			return lagText(s.store.Lag(), problem), problem == nil
		},
		More: func() []string {
			return s.vaults.Reports(func(v *config.Vault) bool { return v.Revision > 0 })
		},
	}
}

// wireState wires the state, its reconciler and the admin API.
func (s *service) wireState(c *config.Config, from engineOpener) error {
	log := s.logs.Log.Named("state")
	kv, run, err := from.state(s.vaults.Named(c.State.Vault).Engine, c.State.Mount, log)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	following := state.DefaultConfig()
	following.Interval = c.State.Poll
	following.MaxStale = maxStale(c)
	s.reconciler = reconcile.New(c, s.vaults, s.authorizer, log)
	if s.store, err = state.New(kv, following, s.reconciler.Watcher(), log); err != nil {
		return err
	}
	s.uses.KeepIn(kv)
	held := records{s.store, s.reconciler, s.vaults}
	s.admin, err = admin.New(c.Admin, admin.Dependencies{
		Store:    held,
		Leases:   s.store,
		Announce: held,
		Vaults:   credentials{held},
		TryVault: credentials{held}.try,
		Judge:    judge(s.authorizer),
		Explain:  explainUnavailable,
		Denials:  s.denials.Find,
		Overview: s.overview,
		LastUsed: s.uses,
		Decide: func(ctx context.Context, r *authz.Request) authz.Explanation {
			return s.authorizer.Explain(ctx, r, s.decider.Check)
		},
		Replica:      replicaName(),
		Declared:     s.reconciler.Declared(),
		Version:      version.Number(),
		Metrics:      s.registry,
		Log:          s.logs.Log.Named("admin"),
		Audit:        s.logs.Audit,
		AuditFailure: c.Log.Audit.OnFailure,
	})
	if err != nil {
		return err
	}
	s.current = reconcile.NewGate(s.authorizer, s.store.Current)
	s.replicas = replicas.NewList(kv, func() replicas.Replica { return s.replica(s.stateHealth(), s.configHealth()) }, s.logs.Log.Named("replicas"))
	s.runs = append(s.runs, func(ctx context.Context) error { return s.reconciler.Run(ctx, s.store) }, s.store.Follow, s.uses.Run, s.replicas.Run)
	if run != nil {
		s.runs = append(s.runs, run)
	}
	return s.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vault_authz_state_lag_seconds",
		Help: "The time since the last proof that what is known of the state is current.",
	}, func() float64 { return s.store.Lag().Seconds() }))
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

// serverEngines opens vault objects on their servers.
type serverEngines struct{ vaults.Servers }

// newServerEngines returns engines that share what they know about their clusters. The polls
// of the state prove that its cluster is current.
func newServerEngines(c *config.Config) serverEngines {
	// A slow poll does not mean that the cluster fails.
	return serverEngines{vaults.Servers{Clusters: vaultkv.NewClusters(max(vaultkv.DefaultProofAge, 5*c.State.Poll/2))}}
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
