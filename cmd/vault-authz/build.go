package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A service is everything that runs, wired together.
type service struct {
	server  *server.Server
	metrics http.Handler
	// runs are the parts that work in the background until ctx ends.
	runs []func(ctx context.Context) error
}

// An engineOf opens the KV engine of a vault object. ready is what readiness
// asks of it; runs may be nil.
type engineOf func(v *config.Vault, log *zap.Logger) (e vaultkv.Engine, ready func() error, run func(context.Context) error, err error)

// build wires the service for a configuration: an engine, a store and a cache
// for each vault object; a snapshot of the entities; the decision; the door to
// Envoy; the listeners' servers.
func build(c *config.Config, open engineOf, log *zap.Logger) (*service, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	s := &service{metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	digester := authz.NewDigester()
	sources := map[string]authz.Source{}
	var checks []server.Check
	for i := range c.Vaults {
		v := &c.Vaults[i]
		named := log.Named("vault")
		engine, ready, run, err := open(v, named)
		if err != nil {
			return nil, fmt.Errorf("vault object %q: %w", v.Name, err)
		}
		store := vaultkv.NewStore(v.Name, engine, digester, named)
		cached, err := cache.New(v.Cache, store.Lookup, rules())
		if err != nil {
			return nil, fmt.Errorf("vault object %q: cache: %w", v.Name, err)
		}
		registry.MustRegister(newCacheCollector(v.Name, cached))
		sources[v.Name] = cached
		checks = append(checks, server.Check{Name: "vault " + v.Name, Func: ready})
		s.runs = append(s.runs, cached.Run)
		if run != nil {
			s.runs = append(s.runs, run)
		}
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		return nil, err
	}
	s.server = server.New(log.Named("server"), grpcServer(c, authz.New(snapshot, digester, c.Grammar), registry, log), checks,
		server.Drain{Wait: c.Drain.Wait, Timeout: c.Drain.Timeout})
	return s, nil
}

// rules tells the cache what it may know of credentials. Their hard limits are
// not among it: the decision applies them to every request.
func rules() cache.Rules[authz.Credential] {
	return cache.Rules[authz.Credential]{
		Lifetime: func(c authz.Credential) time.Duration { return c.TTL },
		Absent: func(err error) bool {
			return errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed)
		},
		Unavailable: func(err error) bool { return errors.Is(err, authz.ErrUnavailable) },
	}
}

var _ authz.Source = (*cache.Cache[authz.Credential])(nil)

// openVault opens the engine of a real vault object.
func openVault(v *config.Vault, log *zap.Logger) (vaultkv.Engine, func() error, func(context.Context) error, error) {
	for _, setting := range v.InsecureSettings() {
		log.Warn("insecure setting", zap.String("vault", v.Name), zap.String("setting", setting))
	}
	vault, err := vaultkv.New(v.Config, log)
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
