package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/debugging"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/internal/version"
)

// Serve runs the service until ctx ends. It goes by the configuration file, also when that
// changes. Its log goes to stdout.
func Serve(ctx context.Context, origin *config.Origin, stdout io.Writer) error {
	signals, stop := reloadSignals()
	defer stop()
	raw, err := origin.Read()
	if err != nil {
		return err
	}
	c, err := origin.Parse(raw)
	if err != nil {
		return err
	}
	watch := func(s *service, log *zap.Logger) error {
		r := newReloader(origin, raw, s.config.Load, s.reconfigure, log.Named("reload"))
		s.reloader = r
		s.runs = append(s.runs, func(ctx context.Context) error { return r.run(ctx, signals) })
		return s.registry.Register(r.metrics())
	}
	return serve(ctx, &c, newServerEngines(&c), stdout, watch, nil)
}

// serve builds the service and runs it until ctx ends. watch, if not nil, adds what reloads
// it. started, if not nil, is called when the listeners are open.
func serve(ctx context.Context, c *config.Config, from engineOpener, stdout io.Writer, watch func(*service, *zap.Logger) error, started func(Addresses)) error {
	logs, err := logging.Open(c.Log.Config, stdout, os.Stderr)
	if err != nil {
		return err
	}
	logs.Start()
	defer logs.Close(time.Second)
	reopen, stop := reopenSignals()
	defer stop()
	log := logs.Log
	traces, err := tracing.New(ctx, version.Number(), log.Named("traces"))
	if err != nil {
		return err
	}
	defer traces.Shutdown(ctx, min(c.Drain.Timeout, maxTracesFlush))
	s, err := build(c, from, traces, logs)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, func(ctx context.Context) error { return reopenLogs(ctx, logs, reopen) })
	if watch != nil {
		if err := watch(s, log); err != nil {
			return err
		}
	}
	for _, warning := range c.Warnings() {
		log.Warn("the configuration is accepted, with a warning", zap.String("warning", warning))
	}
	l, adminAt, err := listen(ctx, c)
	if err != nil {
		return err
	}
	l.Debug = debugHandler(c, s.config.Load, logs)
	l.ProbesTLS, l.ProbesLog = s.tls.probes, s.tls.handshakes.Log(probesListener)
	at := Addresses{GRPC: server.Address(l.GRPC), Probes: server.Address(l.Probes)}
	l.GRPC, l.Probes = s.connections.Count(grpcListener, l.GRPC), s.connections.Count(probesListener, l.Probes)
	log.Info("serving", zap.String("grpc", at.GRPC), zap.String("probes", at.Probes), zap.String("version", version.String()),
		zap.Int("vaults", len(c.Vaults)), zap.Int("consumers", len(c.Consumers)), zap.Int("policies", len(c.Policies)))
	if adminAt != nil {
		at.Admin = server.Address(adminAt)
		s.runs = append(s.runs, func(ctx context.Context) error {
			return serveAdmin(ctx, s.admin, s.tls.admin, c.Admin.Timeout, s.connections.Count(adminListener, adminAt))
		})
		log.Info("serving the admin API", zap.String("admin", at.Admin))
	}
	logInsecure(c, at, log)
	logUnderscores(c, log)
	if err := at.write(c.AddressesFile); err != nil {
		return err
	}
	if started != nil {
		started(at)
	}
	return s.run(ctx, l)
}

// reopenLogs opens log files again at each signal until ctx ends: what rotates logs has renamed
// them.
func reopenLogs(ctx context.Context, logs *logging.Logs, signals <-chan os.Signal) error {
	for {
		select {
		case <-signals:
			logs.Log.Named("logging").Info("opening log files again")
			logs.Reopen()
		case <-ctx.Done():
			return nil
		}
	}
}

// logInsecure warns of settings that are not safe everywhere. at has the ports in use.
func logInsecure(c *config.Config, at Addresses, log *zap.Logger) {
	settings := slices.Concat(c.InsecureSettings(), c.Listen.InsecureSettings())
	if at.Admin != "" {
		bound := c.Admin
		bound.Address = at.Admin
		for _, setting := range bound.InsecureSettings() {
			settings = append(settings, "admin."+setting)
		}
	}
	for _, setting := range settings {
		log.Warn("insecure setting", zap.String("setting", setting))
	}
}

// debugHandler returns what serves /debug/, nil for nothing. current returns the configuration
// in use.
func debugHandler(c *config.Config, current func() *config.Config, logs *logging.Logs) http.Handler {
	if !c.Debug.Enabled {
		return nil
	}
	return debugging.NewHandler(debugging.Options{
		Remote: c.Debug.Remote, Config: func() ([]byte, error) { return current().Show() }, Level: logs.Level(), Audit: logs.Audit.Write,
	})
}

// maxTracesFlush is how long a stop may take to export the last spans. The collector may be
// gone by then.
const maxTracesFlush = time.Second

// maxLastWrites is how long a stop may take to save the last uses of credentials, and to leave the
// list of replicas. Vault may be gone by then.
const maxLastWrites = time.Second

// run runs all parts until ctx ends or one fails. The background parts run until the drain is
// over, since calls under way need them.
func (s *service) run(ctx context.Context, l server.Listeners) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	g, running := errgroup.WithContext(background)
	for _, run := range s.runs {
		g.Go(func() error { return run(running) })
	}
	g.Go(func() error {
		defer stop()
		both, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(running, cancel)()
		err := s.server.Run(both, l, s.metrics)
		s.lastWrites(running)
		return err
	})
	return g.Wait()
}

// lastWrites writes what others are to know of this replica, when calls have ended and the Vault
// token has not.
func (s *service) lastWrites(ctx context.Context) {
	if s.uses == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxLastWrites)
	defer cancel()
	var both sync.WaitGroup
	// A failure is the same as a crash.
	both.Go(func() { _ = s.uses.Flush(ctx) })
	both.Go(func() { _ = s.replicas.Leave(ctx) })
	both.Wait()
}

// listen opens all listeners; after an error none is open. admin is nil without a state.
func listen(ctx context.Context, c *config.Config) (l server.Listeners, admin net.Listener, err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, ln := range open {
				_ = ln.Close()
			}
		}
	}()
	one := func(setting, address string, socket server.Socket) net.Listener {
		if err != nil {
			return nil
		}
		ln, problem := server.Listen(ctx, address, socket)
		if problem != nil {
			err = fmt.Errorf("%s: %w", setting, problem)
			return nil
		}
		open = append(open, ln)
		return ln
	}
	socket := server.Socket{Mode: c.Listen.SocketMode, Group: c.Listen.SocketGroup}
	l.GRPC, l.Probes = one("listen.grpc", c.Listen.GRPC, socket), one("listen.probes", c.Listen.Probes, socket)
	if c.State.Vault != "" {
		// Access to the socket for decisions must not give access to the entities.
		admin = one("admin.listen", c.Admin.Address, server.DefaultSocket())
	}
	return l, admin, err
}

// Addresses is where a running service listens.
type Addresses struct {
	GRPC   string `json:"grpc"`
	Probes string `json:"probes"`
	Admin  string `json:"admin,omitempty"`
}

// write replaces a file in one step, so that a reader never sees half of it.
func (a Addresses) write(name string) error {
	if name == "" {
		return nil
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", append(raw, '\n'), 0o644); err != nil { //nolint:gosec // addresses are no secret
		return fmt.Errorf("addresses_file: %w", err)
	}
	return os.Rename(name+".new", name)
}
