package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// Config is the whole configuration, each part in the type of the package that
// it is for.
type Config struct {
	Listen        Listen
	AddressesFile string
	Log           Log
	GRPC          GRPC
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
	Level, Format string
	AllowSample   int
}

// GRPC says how the gRPC service is exposed.
type GRPC struct {
	Reflection      bool
	MaxRequestBytes int
}

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
	Sweep vaultkv.SweepConfig
	// Revision tells configurations of one vault object apart that was made
	// through the admin API; Lost says that it cannot be understood.
	Revision int
	Lost     bool
	// TokenEnv is the environment variable that the token came from.
	TokenEnv string
}

// Default returns the defaults, without any entity.
func Default() Config {
	return Config{
		Listen:  Listen{GRPC: "127.0.0.1:9191", Probes: "127.0.0.1:9193", SocketMode: 0o660},
		Log:     Log{Level: "info", Format: "auto", AllowSample: 100},
		GRPC:    GRPC{MaxRequestBytes: 9 << 20},
		Drain:   Drain{Wait: 5 * time.Second, Timeout: 20 * time.Second},
		Grammar: authz.DefaultGrammar(),
		Admin:   admin.DefaultConfig(),
		State:   State{Mount: "vault-authz", Poll: time.Second},
	}
}

// Load reads a file and the environment (as from [os.Environ]), and reports
// every mistake in them.
func Load(path string, environ []string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(raw, environ)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %q:\n%w", path, err)
	}
	return c, nil
}

// Parse is Load for a document that is in memory.
func Parse(raw []byte, environ []string) (Config, error) {
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, errors.New(plain(err.Error()))
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("there is more than one YAML document; put everything into one")
	}
	c := Default()
	errs := []error{f.apply(&c, environment(environ))}
	errs = append(errs, applyEnvironment(&c, environ, f.referenced()))
	if err := errors.Join(append(errs, c.Validate())...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Validate reports every mistake that does not need other entities to see.
func (c *Config) Validate() error {
	var errs []error
	errs = append(errs, prefix("tokens", c.Grammar.Validate()))
	if c.Listen.SocketGroup != "" && !c.Listen.hasSocket() {
		errs = append(errs, errors.New("listen.socket_group: is for sockets, and neither listen.grpc nor listen.probes is one; give unix:/path or leave it out"))
	}
	if c.Log.AllowSample < 0 {
		errs = append(errs, fmt.Errorf("log.allow_sample: %d is negative", c.Log.AllowSample))
	}
	if c.GRPC.MaxRequestBytes < 64<<10 || c.GRPC.MaxRequestBytes > 32<<20 {
		errs = append(errs, fmt.Errorf("grpc.max_request_bytes: %d is not between 65536 and 33554432", c.GRPC.MaxRequestBytes))
	}
	if c.Drain.Wait < 0 || c.Drain.Timeout < 0 {
		errs = append(errs, errors.New("drain: durations must not be negative"))
	}
	seen := map[string]bool{}
	for i := range c.Vaults {
		v := &c.Vaults[i]
		where := fmt.Sprintf("vaults[%d] %q", i, v.Name)
		if seen[v.Name] {
			errs = append(errs, fmt.Errorf("%s: name: taken by another vault object", where))
		}
		seen[v.Name] = true
		errs = append(errs, prefix(where, v.Validate()), prefix(where, c.ApartFromState(v)), prefix(where+".cache", v.Cache.Validate()), prefix(where+".cache", v.Sweep.Validate()))
	}
	errs = append(errs, c.validateState(seen))
	// The entities are checked against each other by authz.NewSnapshot, which
	// also knows the sources.
	sources := make(map[string]authz.Source, len(seen))
	for name := range seen {
		sources[name] = nobody{}
	}
	_, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	errs = append(errs, err)
	for _, tie := range authz.Ties(c.Policies) {
		errs = append(errs, tie)
	}
	return errors.Join(errs...)
}

// validateState checks the state and the admin API, which works on it.
func (c *Config) validateState(vaults map[string]bool) error {
	if c.State.Vault == "" {
		return nil
	}
	errs := []error{prefix("admin", c.Admin.Validate())}
	if !vaults[c.State.Vault] {
		errs = append(errs, fmt.Errorf("state.vault: there is no vault object %q", c.State.Vault))
	}
	if err := vaultkv.ValidateMount(c.State.Mount); err != nil {
		errs = append(errs, fmt.Errorf("state.mount: %w", err))
	}
	if c.State.Poll < 100*time.Millisecond || c.State.Poll > time.Minute {
		errs = append(errs, fmt.Errorf("state.poll: %s is not between 100ms and 1m", c.State.Poll))
	}
	return errors.Join(errs...)
}

// ApartFromState refuses a vault object, a declared one or one that was made through
// the admin API, whose mount is that of the state: its credentials would be the
// entities, Vault tokens among them. The server is not compared, as it can be
// written in many ways.
func (c *Config) ApartFromState(v *Vault) error {
	home := slices.IndexFunc(c.Vaults, func(v Vault) bool { return v.Name == c.State.Vault })
	if c.State.Vault == "" || home < 0 || !v.Reaches(c.Vaults[home].Namespace, c.State.Mount) {
		return nil
	}
	return fmt.Errorf("mount: %q is refused: the state is kept there (state.mount); give another path to one of the two, also on different servers", path.Join(v.Mount, v.Prefix))
}

// prefix puts where in front of each line of an error.
func prefix(where string, err error) error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		errs := joined.Unwrap()
		for i := range errs {
			errs[i] = prefix(where, errs[i])
		}
		return errors.Join(errs...)
	}
	return fmt.Errorf("%s.%w", where, err)
}
