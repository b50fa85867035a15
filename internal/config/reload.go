package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
)

// An Origin is where a configuration comes from: a file, the environment and flags.
type Origin struct {
	Path    string
	Environ []string
	Flags   []Flag
}

// Read reads the file.
func (o *Origin) Read() ([]byte, error) {
	raw, err := os.ReadFile(o.Path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return raw, nil
}

// Parse is [Load] for what Read has returned.
func (o *Origin) Parse(raw []byte) (Config, error) {
	c, err := Parse(raw, o.Environ, o.Flags...)
	return c, o.explain(err)
}

// ErrEmpty means that a file has no setting at all.
var ErrEmpty = errors.New("the file is empty, which counts as a mistake while the service runs")

// ParseAgain is Parse for a service that runs. It refuses an empty file: it is far more often
// one that is being written than a wish to deny every request.
func (o *Origin) ParseAgain(raw []byte) (Config, error) {
	c, empty, err := parse(raw, o.Environ, o.Flags)
	if empty {
		err = ErrEmpty
	}
	return c, o.explain(err)
}

func (o *Origin) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("configuration %q:\n%w", o.Path, err)
}

// Hash returns the SHA-256 of the content of a file in hexadecimal.
func Hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Reloaded returns next as far as a service that runs by c can use it without a restart. The
// other settings are those of c, also the vault object that the state is kept in: the state
// shares its connections and its token. The error says why the result cannot be used.
func (c *Config) Reloaded(next *Config) (Config, error) {
	r := *c
	r.Log.Level, r.Log.Decisions.Level, r.Log.AllowSample = next.Log.Level, next.Log.Decisions.Level, next.Log.AllowSample
	r.Vaults, r.Consumers, r.Policies = slices.Clone(next.Vaults), next.Consumers, next.Policies
	if home := c.vault(c.State.Vault); home != nil {
		if same := r.vault(home.Name); same != nil {
			*same = *home
		} else {
			r.Vaults = append(r.Vaults, *home)
		}
	}
	var errs []error
	for _, f := range r.validate() {
		errs = append(errs, errors.New(f.text))
	}
	return r, errors.Join(errs...)
}

// vault returns the vault object of a name, nil if there is none.
func (c *Config) vault(name string) *Vault {
	i := slices.IndexFunc(c.Vaults, func(v Vault) bool { return v.Name == name })
	if i < 0 || name == "" {
		return nil
	}
	return &c.Vaults[i]
}
