package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// set copies what the file gives over the default.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply puts the file over the defaults in c, and returns the conflicts between its
// settings.
func (f *file) apply(c *Config, env map[string]string) findings {
	c.AddressesFile = f.AddressesFile
	set(&c.Listen.GRPC, f.Listen.GRPC)
	set(&c.Listen.Probes, f.Listen.Probes)
	set((*mode)(&c.Listen.SocketMode), f.Listen.SocketMode)
	set(&c.Listen.SocketGroup, f.Listen.SocketGroup)
	set(&c.Log.Level, f.Log.Level)
	set(&c.Log.Format, f.Log.Format)
	set(&c.Log.AllowSample, f.Log.AllowSample)
	set(&c.Log.Decisions.Level, f.Log.Decisions.Level)
	set(&c.Log.Decisions.Target, f.Log.Decisions.Target)
	set(&c.Log.Audit.Target, f.Log.Audit.Target)
	set(&c.Log.Audit.OnFailure, f.Log.Audit.OnFailure)
	set(&c.GRPC.Reflection, f.GRPC.Reflection)
	set(&c.GRPC.MaxRequestBytes, f.GRPC.MaxRequestBytes)
	f.GRPC.readTLS(&c.GRPC.TLS.Listener)
	c.GRPC.TLS.ClientNames = f.GRPC.ClientNames
	f.Probes.readTLS(&c.Probes.TLS.Listener)
	c.Probes.TLS.ClientNames = f.Probes.ClientNames
	set(&c.Debug.Enabled, f.Debug.Enabled)
	set(&c.Debug.Remote, f.Debug.Remote)
	set(&c.Drain.Wait, f.Drain.Wait)
	set(&c.Drain.Timeout, f.Drain.Timeout)
	set(&c.Grammar.MaxLength, f.Tokens.MaxLength)
	set(&c.Grammar.ExtraCharacters, f.Tokens.ExtraCharacters)
	f.Admin.apply(&c.Admin)
	c.Admin.Grammar = c.Grammar
	set(&c.State.Vault, f.State.Vault)
	set(&c.State.Mount, f.State.Mount)
	set(&c.State.Poll, f.State.Poll)
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

func (s *adminSection) apply(c *admin.Config) {
	set(&c.Address, s.Listen)
	s.readTLS(&c.Listener)
	set(&c.Vaults, s.VaultsPath)
	set(&c.UI, s.UI)
	if s.Hosts != nil {
		c.Hosts = s.Hosts
	}
	for _, e := range s.Tokens {
		t := admin.Token{Name: e.Name, SHA256: e.SHA256, Role: admin.RoleWrite}
		set((*string)(&t.Role), e.Role)
		c.Tokens = append(c.Tokens, t)
	}
	for _, e := range s.ClientNames {
		n := admin.ClientName{Name: e.Name, Role: admin.RoleWrite}
		set((*string)(&n.Role), e.Role)
		c.ClientNames = append(c.ClientNames, n)
	}
}

func (e *vaultEntry) vault(env map[string]string) (Vault, error) {
	v := DefaultVault()
	v.Name, v.Address, v.Mount = e.Name, e.Address, e.Mount
	errs := []error{e.list(&v)}
	set(&v.Proxy, e.Proxy)
	set(&v.Namespace, e.Namespace)
	set(&v.Prefix, e.Prefix)
	set(&v.KV, e.KV)
	set(&v.Secrets, e.Secrets)
	set((*string)(&v.TokenPrefix), e.TokenPrefix)
	set(&v.CAFile, e.CAFile)
	set(&v.ClientCertFile, e.ClientCertFile)
	set(&v.ClientKeyFile, e.ClientKeyFile)
	set(&v.TLSServerName, e.ServerName)
	set(&v.Timeout, e.Timeout)
	set(&v.MaxRetries, e.MaxRetries)
	e.Cache.apply(&v.Cache)
	set(&v.Sweep.Interval, e.Cache.Sweep)
	if v.KV == vaultkv.KV2 {
		v.Sweep.Reads = vaultkv.KV2Reads
	}
	e.Cache.reconcile(&v.Cache)
	// A load that cannot outlive one read would cut it short.
	v.Cache.LoadTimeout = max(v.Cache.LoadTimeout, v.Timeout)
	v.MaxConnections = v.Cache.MaxLoads
	set(&v.MaxConnections, e.MaxConnections)
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
		return errors.New("token: give either {file: PATH}, {env: NAME} or {agent: true}, or a login instead; a token does not belong into the configuration itself")
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

func (s *cacheSection) apply(c *cache.Config) {
	set(&c.Capacity, s.Capacity)
	set(&c.TTL, s.TTL)
	set(&c.MinTTL, s.MinTTL)
	set(&c.MaxTTL, s.MaxTTL)
	set(&c.MaxStale, s.MaxStale)
	set(&c.AbsentTTL, s.AbsentTTL)
	set(&c.AbsentCapacity, s.AbsentCapacity)
	set(&c.MaxLoads, s.MaxLoads)
	set(&c.MissesPerSecond, s.MissesPerSecond)
}
