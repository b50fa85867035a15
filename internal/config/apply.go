package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/fieldcopy"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

// fileFields and vaultFields are the settings, and the fields of the configuration that they stand
// for.
var (
	fileFields  = fieldcopy.Of(reflect.TypeFor[file](), reflect.TypeFor[Config]())
	vaultFields = fieldcopy.Of(reflect.TypeFor[vaultEntry](), reflect.TypeFor[Vault]())
)

// apply puts the file over the defaults in c, and returns the conflicts between its
// settings.
func (f *file) apply(c *Config, env map[string]string) findings {
	f.settings(c)
	c.Admin.Grammar = c.Grammar
	c.Admin.Tokens = entries(f.Admin.Tokens, authn.Token{Role: authn.RoleWrite})
	c.Admin.ClientNames = entries(f.Admin.ClientNames, authn.ClientName{Role: authn.RoleWrite})
	var found findings
	for i := range f.Vaults {
		v, err := f.Vaults[i].vault(env)
		where := fmt.Sprintf("vaults[%d]", i)
		found.add(where, fmt.Sprintf("%s %q", where, v.Name), err)
		c.Vaults = append(c.Vaults, v)
	}
	for i := range f.Consumers {
		c.Consumers = append(c.Consumers, f.Consumers[i].Authz())
	}
	for i := range f.Policies {
		c.Policies = append(c.Policies, f.Policies[i].Authz())
	}
	return found
}

// settings puts what the file gives over c, apart from its lists of sections.
func (f *file) settings(c *Config) { fileFields.Forth(f, c) }

// entries returns what a list of sections stands for, with the defaults of each.
func entries[S, T any](sections []S, defaults T) []T {
	all := fieldcopy.Of(reflect.TypeFor[S](), reflect.TypeFor[T]())
	var out []T
	for i := range sections {
		one := defaults
		all.Forth(&sections[i], &one)
		out = append(out, one)
	}
	return out
}

func (e *vaultEntry) vault(env map[string]string) (Vault, error) {
	v := DefaultVault()
	vaultFields.Forth(e, &v)
	errs := []error{e.list(&v)}
	if e.Cache.Sweep != nil {
		v.Sweep.Interval = *e.Cache.Sweep
	}
	if v.KV == vaultkv.KV2 {
		v.Sweep.Reads = sweep.KV2Reads
	}
	e.Cache.reconcile(&v.Cache)
	// A load that cannot outlive one read would cut it short.
	v.Cache.LoadTimeout = max(v.Cache.LoadTimeout, v.Timeout)
	if e.MaxConnections == nil {
		v.MaxConnections = v.Cache.MaxLoads
	}
	var err error
	if v.Login, err = e.Login.login(); v.Login != nil {
		if e.Token != (tokenReference{}) {
			errs = append(errs, errors.New("token: give either token or login, not both"))
		}
		return v, errors.Join(append(errs, err)...)
	}
	v.TokenFile, v.TokenEnv, v.Agent = e.Token.File, e.Token.Env, e.Token.Agent
	return v, errors.Join(append(errs, e.Token.resolve(&v, env))...)
}

// list takes a list of addresses.
func (e *vaultEntry) list(v *Vault) error {
	switch {
	case e.Addresses == nil:
		return nil
	case e.Address != "":
		return errors.New("addresses: give either address or addresses")
	}
	for _, a := range e.Addresses {
		if strings.Contains(a, ",") {
			return errors.New("addresses: each entry is one address, without a comma")
		}
	}
	v.Address = strings.Join(e.Addresses, ",")
	return nil
}

// resolve reads a token from the environment. A reference that cannot be resolved is an
// error: it is never used as the token.
func (t tokenReference) resolve(v *Vault, env map[string]string) error {
	given := 0
	for _, is := range []bool{t.File != "", t.Env != "", t.Agent} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("token: give either {file: PATH}, {env: NAME} or {agent: true}, or a login instead; do not write a token into the configuration itself")
	case !isVariable(t.Env) && t.Env != "":
		// Not quoted: it may be the token.
		return errors.New("token: env is not the name of an environment variable; give the name of the one that holds the token, made of letters, digits and _")
	case t.Env != "":
		if v.Token = env[t.Env]; v.Token == "" {
			return fmt.Errorf("token: the environment variable %s is not set", t.Env)
		}
	}
	return nil
}

// isVariable says whether name can be that of an environment variable.
func isVariable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// reconcile moves the defaults of the durations that the file does not give, so that
// min_ttl ≤ ttl ≤ max_ttl holds with those that it gives.
func (s *cacheSection) reconcile(c *cache.Config) {
	if s.TTL == nil {
		c.TTL = min(c.TTL, c.MaxTTL)
		if s.MinTTL != nil {
			c.TTL = max(c.TTL, c.MinTTL)
		}
	}
	if s.MaxTTL == nil {
		c.MaxTTL = max(c.MaxTTL, c.TTL)
	}
	if s.MinTTL == nil {
		c.MinTTL = min(c.MinTTL, c.TTL)
	}
}
