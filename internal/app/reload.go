package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/metric"
	"github.com/vault-authz/vault-authz/internal/reconcile"
	"github.com/vault-authz/vault-authz/internal/tracing"
)

const (
	// reloadInterval is the interval at which the configuration file is read. Content is
	// used when it is the same at two looks: some editors write a file in parts.
	reloadInterval = 250 * time.Millisecond
	// reloadRetry is how long content that could not be used is left alone: the cause may
	// be another file, which Kubernetes mounts a little later.
	reloadRetry = 30 * time.Second
)

// A reloader makes the service go by its configuration file whenever that changes. What cannot
// be used leaves the last good configuration in use. It is safe for concurrent use.
type reloader struct {
	origin *config.Origin
	inUse  func() *config.Config
	use    func(*config.Config) error
	log    *zap.Logger

	mu sync.Mutex
	// hash is that of the content in use, at is when it came into use.
	hash string
	at   time.Time
	// seen is what the last look found: the hash of the content, or why there is none.
	// tried is what was last tried to use, at triedAt.
	seen, tried string
	triedAt     time.Time
	// problem is why tried is not in use, "" if it is.
	problem        string
	used, failures uint64
}

// newReloader returns a reloader for a service that was built of raw. inUse is what the service
// goes by. use makes it go by another configuration, or by none of it and returns an error.
func newReloader(origin *config.Origin, raw []byte, inUse func() *config.Config, use func(*config.Config) error, log *zap.Logger) *reloader {
	hash := config.Hash(raw)
	return &reloader{origin: origin, inUse: inUse, use: use, log: log, hash: hash, seen: hash, tried: hash, at: time.Now()}
}

// run reloads when the file changes, and at each signal, until ctx ends.
func (r *reloader) run(ctx context.Context, signals <-chan os.Signal) error {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			r.now()
		case <-tick.C:
			r.look()
		}
	}
}

// look reloads if the content of the file has changed and is the same as at the last look.
func (r *reloader) look() {
	raw, found, err := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	settled := found == r.seen
	r.seen = found
	again := r.problem != "" && time.Since(r.triedAt) >= reloadRetry
	if settled && (found != r.tried || again) {
		r.try(raw, found, err)
	}
}

// now reloads whether the file has changed or not.
func (r *reloader) now() {
	raw, found, err := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = found
	r.try(raw, found, err)
}

func (r *reloader) read() (raw []byte, found string, err error) {
	if raw, err = r.origin.Read(); err != nil {
		return nil, err.Error(), err
	}
	return raw, config.Hash(raw), nil
}

// try uses content. The caller holds mu.
func (r *reloader) try(raw []byte, found string, err error) {
	before, again := r.problem, found == r.tried
	r.tried, r.triedAt = found, time.Now()
	if err == nil {
		err = r.apply(raw)
	}
	if err != nil {
		r.failures++
		if r.problem = err.Error(); !again || r.problem != before {
			r.log.Error("the configuration file cannot be used, the configuration before stays in use; correct the file, it is read again by itself", zap.Error(err))
		}
		return
	}
	r.used++
	r.problem, r.hash, r.at = "", found, time.Now()
}

// apply makes the service go by the content of the file.
func (r *reloader) apply(raw []byte) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a panic of type %T; please report it", cause)
		}
	}()
	next, err := r.origin.ParseAgain(raw)
	if err != nil {
		return err
	}
	before := r.inUse()
	reloaded, err := before.Reloaded(&next)
	if err != nil {
		return fmt.Errorf("together with the settings that need a restart: %w", err)
	}
	if err := r.use(&reloaded); err != nil {
		return err
	}
	count := map[string]int{}
	var restart []string
	for _, d := range before.Diff(&next) {
		if d.Restart {
			restart = append(restart, d.Setting)
		} else {
			count[d.Kind]++
		}
	}
	r.log.Info("configuration reloaded", zap.String("sha256", config.Hash(raw)),
		zap.Int("added", count[config.Added]), zap.Int("changed", count[config.Changed]), zap.Int("removed", count[config.Removed]))
	if len(restart) > 0 {
		r.log.Warn("the file differs in settings that need a restart; until then the values before are in use", zap.Strings("settings", restart))
	}
	for _, warning := range reloaded.Warnings() {
		r.log.Warn("the configuration is accepted, with a warning", zap.String("warning", warning))
	}
	return nil
}

// reconfigure makes the service go by another configuration as far as that is possible without
// a restart. After an error it goes by the one before.
func (s *service) reconfigure(c *config.Config) error {
	if err := s.redeclare(c); err != nil {
		return err
	}
	if s.store != nil {
		s.store.SetMaxStale(maxStale(c))
	}
	if c.Log.AllowSample != s.sample {
		s.sample = c.Log.AllowSample
		s.decisions.Store(authz.NewDecisionLog(s.logs.Decisions, c.Log.AllowSample, tracing.TraceOf))
	}
	if err := s.logs.SetLevels(c.Log.Config); err != nil {
		return err
	}
	s.config.Store(c)
	return nil
}

// redeclare replaces vault objects, consumers and policies in one step.
func (s *service) redeclare(c *config.Config) error {
	if s.reconciler != nil {
		before := s.reconciler.Declared()
		if err := s.admin.Declare(reconcile.Entities(c)); err != nil {
			return err
		}
		err := s.reconciler.Reconfigure(c)
		if err != nil {
			_ = s.admin.Declare(before) // it was used before
		}
		return err
	}
	change := s.vaults.Prepare(c.Vaults)
	defer change.Abandon()
	if err := change.Err(); err != nil {
		return err
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, change.Sources)
	if err != nil {
		return err
	}
	removed := change.Commit()
	s.authorizer.Replace(snapshot)
	s.vaults.Retire(removed)
	return nil
}

// metrics returns the collector of what became of reloads.
func (r *reloader) metrics() prometheus.Collector {
	success := metric.Gauge("vault_authz_config_last_reload_success", "1 if the configuration file is in use as it was last read, 0 if that could not be used.")
	at := metric.Gauge("vault_authz_config_last_reload_timestamp_seconds", "When a configuration file was last put in use, by the start or by a reload.")
	info := metric.Gauge("vault_authz_config_info", "1, with the SHA-256 of the content of the configuration file in use.", "sha256")
	reloads := metric.Counter("vault_authz_config_reloads_total", "Reloads of the configuration file by outcome: ok, failed.", "outcome")
	return metric.Collector(func(to chan<- prometheus.Metric) {
		r.mu.Lock()
		defer r.mu.Unlock()
		success.Send(to, metric.Bool(r.problem == ""))
		at.Send(to, float64(r.at.UnixMilli())/1000)
		info.Send(to, 1, r.hash)
		reloads.Send(to, float64(r.used), "ok")
		reloads.Send(to, float64(r.failures), "failed")
	})
}

// health says which configuration file is in use.
func (r *reloader) health() *api.ConfigHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &api.ConfigHealth{LoadedAt: r.at.Unix(), Hash: r.hash, Success: r.problem == "", Error: r.problem}
}
