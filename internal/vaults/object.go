package vaults

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/expiring"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/internal/tracing"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
	"github.com/vault-authz/vault-authz/vaultkv/record"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

// An Opener opens the KV engine of a vault object. It reads files, and asks no server.
type Opener interface {
	Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error)
}

// A server is an engine on a server. Run is its background work.
type server interface {
	vaultkv.Engine

	Run(ctx context.Context) error
	Try(ctx context.Context) vaultkv.Tryout
	Ready() bool
	State() vaultkv.State
	Problem() error
	Breaker() vaultkv.BreakerStatus
	TokenLife() login.Life
	TLSFiles() tlsfiles.Status
}

var _ server = (*vaultkv.Vault)(nil)

// Servers opens vault objects on their servers.
type Servers struct {
	// Clusters is what vault objects know about their clusters. With nil they share nothing.
	Clusters *vaultkv.Clusters
}

// Engine implements [Opener].
func (s Servers) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	for _, setting := range v.InsecureSettings() {
		log.Warn("insecure setting", zap.String("vault", v.Name), zap.String("setting", setting))
	}
	if s.Clusters == nil {
		return vaultkv.New(v.Config, log)
	}
	return s.Clusters.New(v.Config, log)
}

// An Object is an open vault object.
type Object struct {
	Engine vaultkv.Engine

	config config.Vault
	// server is Engine, nil if that is in memory.
	server  server
	reads   *record.Timed
	cache   watchedCache
	sweeper *sweep.Sweeper
	// quit is closed when no decision can use it any more.
	quit chan struct{}
	// tries lets callers share a try of the connection.
	tries singleflight.Group
}

// open opens a vault object. Its background work begins when it is a part of the Set.
func (s *Set) open(v *config.Vault) (*Object, error) {
	log := s.Log.Named("vault")
	engine, err := s.From.Engine(v, log)
	if err != nil {
		return nil, err
	}
	reads := record.NewTimed(v.Name, record.NewSource(v.Name, engine, s.Digester, log))
	soon := expiring.New(v.Cache.Capacity)
	credentials, err := cache.New(v.Cache, screened(v.TokenPrefix, s.Traces.Read(v.Name, s.tracked(soon, reads.Lookup))), s.Traces.Rules(rules()))
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	o := &Object{Engine: engine, config: *v, reads: reads, cache: watchedCache{credentials, soon}, quit: make(chan struct{})}
	o.server, _ = engine.(server)
	o.sweeper = sweep.New(v.Name, engine, o.cache, v.Sweep, log)
	return o, nil
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

// unopened is the Source of a vault object that could not be opened.
type unopened struct{}

func (unopened) Lookup(context.Context, string) (authz.Credential, error) {
	return authz.Credential{}, fmt.Errorf("%w: the vault object could not be opened", authz.ErrUnavailable)
}
