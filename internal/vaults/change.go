package vaults

import (
	"errors"
	"fmt"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A Change is a change of a Set that is ready and not in force yet. It ends with Commit or
// Abandon, and no other change begins before that.
type Change struct {
	// Sources has the Source of each vault object after the change, by name.
	Sources map[string]authz.Source

	set *Set
	// failed says why vault objects cannot be opened, and declared the same of those of the
	// configuration. Their requests are unavailable after the change.
	failed, declared []error
	// known and byName are those of the Set after the change. opened are what the change
	// has opened of them.
	known  map[string]config.Vault
	byName map[string]*Object
	opened []*Object
	ended  bool
}

// Prepare opens what has to be opened to make the vault objects those that are wanted: new
// ones, and changed ones anew. Nothing is in force before Commit.
func (s *Set) Prepare(wanted []config.Vault) *Change {
	s.setting.Lock()
	c := &Change{set: s, Sources: map[string]authz.Source{}, known: map[string]config.Vault{}, byName: map[string]*Object{}}
	ready := false
	defer func() {
		if !ready {
			c.Abandon()
		}
	}()
	for i := range wanted {
		v := &wanted[i]
		c.known[idOf(v)], c.Sources[v.Name] = *v, unopened{}
		if v.Lost {
			continue
		}
		o := s.Named(v.Name)
		if o == nil || o.config != *v {
			var err error
			if o, err = s.open(v); err != nil {
				err = fmt.Errorf("vault object %q: %w", v.Name, err)
				c.failed = append(c.failed, err)
				if v.ID == "" {
					c.declared = append(c.declared, err)
				}
				continue
			}
			c.opened = append(c.opened, o)
		}
		c.byName[v.Name], c.Sources[v.Name] = o, cachedSource{o.cache.Cache}
	}
	ready = true
	return c
}

// idOf returns the id of a vault object in the admin API.
func idOf(v *config.Vault) string {
	if v.ID == "" {
		return entities.DeclaredID(state.KindVaults, v.Name)
	}
	return v.ID
}

// Err names the vault objects that cannot be opened. It is nil if there are none.
func (c *Change) Err() error { return errors.Join(c.failed...) }

// DeclaredErr is Err for the vault objects of the configuration.
func (c *Change) DeclaredErr() error { return errors.Join(c.declared...) }

// Commit puts the change in force, in one step. It returns the vault objects that were replaced
// or removed: the caller retires these when no new decision can use them.
func (c *Change) Commit() (removed []*Object) {
	s := c.set
	s.mu.Lock()
	for name, o := range s.byName {
		if c.byName[name] != o {
			removed = append(removed, o)
			s.retiring[o] = struct{}{}
		}
	}
	s.known, s.byName = c.known, c.byName
	s.unstarted = append(s.unstarted, c.opened...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	c.end()
	return removed
}

// Abandon ends a change without putting it in force. After Commit it does nothing.
func (c *Change) Abandon() {
	if c.ended {
		return
	}
	for _, o := range c.opened {
		o.cache.Close()
	}
	c.end()
}

func (c *Change) end() {
	c.ended = true
	c.set.setting.Unlock()
}

// Replace is Prepare and Commit in one.
func (s *Set) Replace(wanted []config.Vault) (sources map[string]authz.Source, removed []*Object, err error) {
	c := s.Prepare(wanted)
	return c.Sources, c.Commit(), c.Err()
}
