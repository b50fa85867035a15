package config

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

// Config is the whole configuration. Each part has the type of the package that uses
// it.
type Config struct {
	Listen        Listen
	AddressesFile string
	Log           Log
	GRPC          GRPC
	Probes        Probes
	Debug         Debug
	Drain         Drain
	Grammar       authz.Grammar
	Admin         admin.Config
	State         State
	Vaults        []Vault
	Consumers     []authz.Consumer
	Policies      []authz.Policy
}

// Listen says where to listen: host:port, or unix:/path.
type Listen struct {
	GRPC, Probes string
	// SocketMode and SocketGroup are those of the sockets among them.
	SocketMode  fs.FileMode
	SocketGroup string
}

func (l *Listen) hasSocket() bool {
	return strings.HasPrefix(l.GRPC, "unix:") || strings.HasPrefix(l.Probes, "unix:")
}

// InsecureSettings describes each setting that is allowed and yet worth a warning at
// start-up.
func (l *Listen) InsecureSettings() []string {
	if l.hasSocket() && l.SocketMode&0o002 != 0 {
		return []string{fmt.Sprintf("listen.socket_mode: with %04o every user of this machine can try credentials", l.SocketMode)}
	}
	return nil
}

// Log says what is logged.
type Log struct {
	logging.Config
	// AllowSample is that of [authz.NewDecisionLog].
	AllowSample int
}

// GRPC says how the gRPC service is exposed.
type GRPC struct {
	Reflection      bool
	MaxRequestBytes int
	TLS
}

// Probes says how the probes and metrics are exposed.
type Probes struct{ TLS }

// Debug says who may look into the running service, through the listener of the probes.
type Debug struct{ Enabled, Remote bool }

// Drain says how long a stop may take.
type Drain struct{ Wait, Timeout time.Duration }

// State says where entities that are made through the admin API are kept.
type State struct {
	// Vault names the vault object whose server and token are used, empty for
	// no state and no admin API.
	Vault string
	// Mount is a KV v2 mount of its own.
	Mount string
	// Poll is how often changes made through other replicas are looked for.
	Poll time.Duration
}

// Vault is a vault object with the cache in front of it.
type Vault struct {
	vaultkv.Config
	Cache cache.Config
	Sweep sweep.Config
	// ID and Revision are those of the record of a vault object that was made through the
	// admin API, zero for one of the configuration. Lost says that it cannot be understood.
	ID       string
	Revision int
	Lost     bool
	// Secrets is how the admin API writes credentials: [api.SecretsPlain] or
	// [api.SecretsHashed].
	Secrets string
	// TokenPrefix begins the tokens that the admin API makes.
	TokenPrefix authz.TokenPrefix
	// TokenEnv is the environment variable that the token came from.
	TokenEnv string
}

// Default returns the defaults, without any entity.
func Default() Config {
	return Config{
		Listen:  Listen{GRPC: "127.0.0.1:9191", Probes: "127.0.0.1:9193", SocketMode: 0o660},
		Log:     Log{Config: logging.DefaultConfig(), AllowSample: 100},
		GRPC:    GRPC{MaxRequestBytes: 9 << 20, TLS: TLS{Listener: tlsfiles.Listener{MinTLSVersion: tlsfiles.TLS13}}},
		Probes:  Probes{TLS: TLS{Listener: tlsfiles.Listener{MinTLSVersion: tlsfiles.TLS13}}},
		Drain:   Drain{Wait: 5 * time.Second, Timeout: 20 * time.Second},
		Grammar: authz.DefaultGrammar(),
		Admin:   admin.DefaultConfig(),
		State:   State{Mount: "vault-authz", Poll: time.Second},
	}
}

// DefaultVault returns the defaults of a vault object.
func DefaultVault() Vault {
	return Vault{Config: vaultkv.DefaultConfig(), Cache: cache.DefaultConfig(), Sweep: sweep.DefaultConfig(), Secrets: api.SecretsPlain}
}

// Load reads a file and the environment (as from [os.Environ]), puts flags over both, and
// reports every mistake in them. The service can be built of what it returns.
func Load(path string, environ []string, flags ...Flag) (Config, error) {
	from := Origin{path, environ, flags}
	raw, err := from.Read()
	if err != nil {
		return Config{}, err
	}
	return from.Parse(raw)
}

// Parse is Load for a document in memory.
func Parse(raw []byte, environ []string, flags ...Flag) (Config, error) {
	c, _, err := parse(raw, environ, flags)
	return c, err
}

// parse is Parse. empty says that the document has no setting.
func parse(raw []byte, environ []string, flags []Flag) (c Config, empty bool, err error) {
	var f file
	d, err := read(raw, &f)
	if err != nil {
		return Config{}, false, err
	}
	c = Default()
	found := f.apply(&c, environment(environ)).without(d.found)
	from, unfit := override(&c, environ, f.referenced(), flags)
	found = slices.Concat(found, unfit)
	found = append(found, c.validate().without(slices.Concat(d.found, found))...)
	if err := d.reported(found, from); err != nil {
		return Config{}, false, err
	}
	return c, len(d.lines) == 0, nil
}

// ApartFromState refuses a vault object, declared or made through the admin API, with the
// mount of the state: the entities, Vault tokens among them, would be read as
// credentials. Servers are not compared, because one server can be written in many ways.
func (c *Config) ApartFromState(v *Vault) error {
	home := slices.IndexFunc(c.Vaults, func(v Vault) bool { return v.Name == c.State.Vault })
	if c.State.Vault == "" || home < 0 || !v.Reaches(c.Vaults[home].Namespace, c.State.Mount) {
		return nil
	}
	return fmt.Errorf("mount: %q is refused: the state is kept there (state.mount); give another path to one of the two, also on different servers", path.Join(v.Mount, v.Prefix))
}
