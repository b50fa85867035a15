package vaultkv

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// pollInterval is how often Run reads the token file, and asks the server again while
// the state is not ok.
const pollInterval = 5 * time.Second

// A Vault is the [Engine] of one KV mount of a Vault or OpenBao server. It is safe for
// concurrent use. It works without [Vault.Run] too; then a token file is read again only
// when the server refuses the token.
type Vault struct {
	cfg     Config
	log     *zap.Logger
	client  *api.Client
	conn    *connection
	getter  *getter
	layout  layout
	health  *health
	breaker *breaker
	poll    time.Duration
	// listBytes bounds the list of all keys.
	listBytes int64
	session   *login.Session
	syncer    *syncer
	// shared is set for an engine made by WithMount: another one runs the session and
	// the connections.
	shared bool
	// mount is what the server says about the mount.
	mount mountInfo
	// uninitialised is set while the server says that it is sealed because it has never
	// been initialised.
	uninitialised atomic.Bool
}

var _ Engine = (*Vault)(nil)

// New returns a Vault without contacting the server. The files that the
// configuration names must exist.
func New(c Config, log *zap.Logger) (*Vault, error) {
	return NewClusters(DefaultProofAge).New(c, log)
}

// New is like the function [New], for a vault object that shares what is known about
// its cluster with the others of cs.
func (cs *Clusters) New(c Config, log *zap.Logger) (*Vault, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log = log.With(zap.String("vault", c.Name))
	conn, err := newConnection(c, cs, log)
	if err != nil {
		return nil, err
	}
	client, err := newClient(c, conn)
	if err != nil {
		return nil, err
	}
	session := c.session()
	session.Refusals = cs.refusals
	c.Token = "" // From here on only the session and the client have it.
	v := &Vault{
		cfg: c, log: log, client: client, conn: conn, getter: newGetter(client, conn),
		layout: newLayout(c), health: newHealth(log), breaker: newBreaker(log), poll: pollInterval, listBytes: maxListBytes,
	}
	if v.session, err = login.New(session, client, sessionServer{v}, log); err != nil {
		return nil, err
	}
	v.syncer = newSyncer(v)
	return v, nil
}

// WithMount returns the engine of another mount of the same server. It shares the
// connections and the token of v, which the Run of v maintains.
func (v *Vault) WithMount(name, mount, kv string, log *zap.Logger) (*Vault, error) {
	c := v.cfg
	c.Name, c.Mount, c.Prefix, c.KV = name, mount, "", kv
	if err := ValidateMount(mount); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	if kv != KV1 && kv != KV2 {
		return nil, fmt.Errorf("kv: %q is neither v1 nor v2", kv)
	}
	log = log.With(zap.String("vault", name))
	layout := newLayout(c)
	layout.deep = true
	other := &Vault{
		cfg: c, log: log, client: v.client, conn: v.conn, getter: v.getter,
		layout: layout, health: newHealth(log), breaker: newBreaker(log), poll: v.poll, listBytes: v.listBytes, session: v.session, shared: true,
	}
	other.syncer = newSyncer(other)
	return other, nil
}

// State returns the state of the vault object after the last answer.
func (v *Vault) State() State {
	s := v.health.current()
	if (s == StateOK || s == StateNotCurrent) && v.notCurrent() != nil {
		return StateNotCurrent
	}
	return s
}

// Problem is why the state is not ok, nil if it is ok or the server has not been asked yet.
func (v *Vault) Problem() error {
	if last := v.health.last(); last != nil && last.State != StateOK {
		return last
	}
	if problem := v.notCurrent(); problem != nil {
		return problem
	}
	return nil
}

// Breaker returns the status of the circuit breaker of the reads.
func (v *Vault) Breaker() BreakerStatus { return v.breaker.status() }

// Ready reports whether the server has ever accepted our token. It stays true if the
// server becomes unavailable later: a cache may still have answers.
func (v *Vault) Ready() bool { return v.health.ready.Load() }

// Run keeps the token alive, follows changes of the TLS files and, while the state is
// not ok, checks the server again and again. When ctx ends it revokes a token that it
// logged in for, and returns nil.
func (v *Vault) Run(ctx context.Context) error {
	defer v.syncer.close()
	if v.shared {
		v.watch(ctx)
		return nil
	}
	defer v.conn.closeIdle()
	defer v.conn.leave()
	var keeping sync.WaitGroup
	keeping.Go(func() { v.conn.watch(ctx) })
	keeping.Go(func() { v.session.Keep(ctx, v.poll) })
	v.watch(ctx)
	keeping.Wait()
	if err := v.session.Close(ctx); err != nil {
		v.log.Warn("vault token not revoked", zap.String("detail", problemOf(err).Detail()))
	}
	return nil
}

// Stop is for an engine that was used without [Vault.Run]: it revokes a token that the
// engine logged in for and closes the connections. An error says why the token lives on.
func (v *Vault) Stop(ctx context.Context) error {
	if v.shared {
		return nil
	}
	defer v.conn.closeIdle()
	if err := v.session.Close(ctx); err != nil {
		return problemOf(err)
	}
	return nil
}

func (v *Vault) watch(ctx context.Context) {
	tick := time.NewTicker(v.poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !v.shared {
			v.conn.maintain()
		}
		if v.State() != StateOK || !v.mount.asked() {
			// health logs the outcome.
			_ = v.Check(ctx)
		}
		v.health.logPending()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Check asks the server for what reading a credential needs: that the server answers,
// accepts our token, lets it read, and has a KV engine of the configured version at the
// mount. It is not subject to the circuit breaker, and closes it after a success.
func (v *Vault) Check(ctx context.Context) error {
	if _, problem := v.check(ctx); problem != nil {
		return problem
	}
	return nil
}

// check is Check. It also returns how long the read took.
func (v *Vault) check(ctx context.Context) (took time.Duration, problem *Error) {
	v.askMount(ctx, false)
	began := time.Now()
	_, _, problem = v.read(ctx, probeKey())
	took = time.Since(began)
	if problem == nil || !problem.systemic() {
		v.breaker.reset()
	}
	if v.State() == StateSealed {
		v.checkSeal(ctx)
	}
	if problem == nil {
		problem = v.notCurrent()
	}
	return took, problem
}

// checkSeal asks whether the server is sealed because it was never initialised.
func (v *Vault) checkSeal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	resp, err := v.client.Sys().SealStatusWithContext(ctx)
	if err == nil {
		v.uninitialised.Store(!resp.Initialized)
	}
}
