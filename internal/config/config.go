package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
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
	Vaults        []Vault
	Consumers     []authz.Consumer
	Policies      []authz.Policy
}

// Listen says where to listen: host:port, or unix:/path.
type Listen struct{ GRPC, Probes string }

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

// Vault is a vault object with the cache in front of it.
type Vault struct {
	vaultkv.Config
	Cache cache.Config
	// TokenEnv is the environment variable that the token came from.
	TokenEnv string
}

// Default returns the defaults, without any entity.
func Default() Config {
	return Config{
		Listen:  Listen{GRPC: "127.0.0.1:9191", Probes: "127.0.0.1:9193"},
		Log:     Log{Level: "info", Format: "auto", AllowSample: 100},
		GRPC:    GRPC{MaxRequestBytes: 9 << 20},
		Drain:   Drain{Wait: 5 * time.Second, Timeout: 20 * time.Second},
		Grammar: authz.DefaultGrammar(),
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
		errs = append(errs, prefix(where, v.Validate()), prefix(where+".cache", v.Cache.Validate()))
	}
	// The entities are checked against each other by authz.NewSnapshot, which
	// also knows the sources.
	sources := make(map[string]authz.Source, len(seen))
	for name := range seen {
		sources[name] = nobody{}
	}
	_, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	return errors.Join(append(errs, err)...)
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
