package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
)

// A vaultChange is a change of the open vault objects that is ready and not in force yet. It
// ends with commit or abandon, and no other change begins before that.
type vaultChange struct {
	// sources has the Source of each vault object after the change.
	sources map[string]authz.Source
	// failed says why vault objects cannot be opened, by name. Their requests are
	// unavailable after the change.
	failed map[string]error

	backends *vaultBackends
	// kept has the names of those that stay open as they are.
	kept   map[string]bool
	opened []*vaultBackend
	ended  bool
}

// prepare opens what has to be opened to make the open vault objects those that are wanted:
// new ones, and changed ones anew. Nothing is in force before commit.
func (bs *vaultBackends) prepare(wanted []config.Vault) *vaultChange {
	bs.setting.Lock()
	c := &vaultChange{backends: bs, sources: map[string]authz.Source{}, failed: map[string]error{}, kept: map[string]bool{}}
	ready := false
	defer func() {
		if !ready {
			c.abandon()
		}
	}()
	for i := range wanted {
		v := &wanted[i]
		c.sources[v.Name] = unopened{}
		if v.Lost {
			continue
		}
		current := bs.named(v.Name)
		if current == nil || current.config != *v {
			var err error
			if current, err = bs.open(v); err != nil {
				c.failed[v.Name] = err
				continue
			}
			c.opened = append(c.opened, current)
		} else {
			c.kept[v.Name] = true
		}
		c.sources[v.Name] = cachedSource{current.cache.Cache}
	}
	ready = true
	return c
}

// declaredErr is err for the vault objects of a configuration.
func (c *vaultChange) declaredErr(by *config.Config) error {
	names := make([]string, len(by.Vaults))
	for i := range by.Vaults {
		names[i] = by.Vaults[i].Name
	}
	return c.errOf(names)
}

// err names the vault objects that cannot be opened. It is nil if there are none.
func (c *vaultChange) err() error { return c.errOf(slices.Sorted(maps.Keys(c.failed))) }

func (c *vaultChange) errOf(names []string) error {
	var errs []error
	for _, name := range names {
		if err := c.failed[name]; err != nil {
			errs = append(errs, fmt.Errorf("vault object %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// commit puts the change in force. It returns the backends that were replaced or removed: the
// caller closes these when no new decision can use them.
func (c *vaultChange) commit() (retired []*vaultBackend) {
	bs := c.backends
	for _, name := range bs.names() {
		if !c.kept[name] {
			retired = append(retired, bs.remove(name)...)
		}
	}
	for _, b := range c.opened {
		bs.add(b)
	}
	c.end()
	return retired
}

// abandon ends a change without putting it in force. After commit it does nothing.
func (c *vaultChange) abandon() {
	if c.ended {
		return
	}
	for _, b := range c.opened {
		b.cache.Close()
	}
	c.end()
}

func (c *vaultChange) end() {
	c.ended = true
	c.backends.setting.Unlock()
}

// set is prepare and commit in one.
func (bs *vaultBackends) set(wanted []config.Vault) (sources map[string]authz.Source, retired []*vaultBackend, err error) {
	c := bs.prepare(wanted)
	return c.sources, c.commit(), c.err()
}
