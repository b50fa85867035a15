package config

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// validate finds every mistake that would keep the service from starting, as far as that
// shows without other files and without network.
func (c *Config) validate() findings {
	var f findings
	f.add("tokens", "tokens", c.Grammar.Validate())
	f.add("log", "log", c.Log.Validate())
	f.check(c.Log.AllowSample >= 0, "log.allow_sample", "%d is negative", c.Log.AllowSample)
	f.check(c.GRPC.MaxRequestBytes >= 64<<10 && c.GRPC.MaxRequestBytes <= 32<<20, "grpc.max_request_bytes", "%d is not between 65536 and 33554432", c.GRPC.MaxRequestBytes)
	f.check(!c.Debug.Remote || c.Debug.Enabled, "debug.remote", "does nothing without debug.enabled: true; add that or leave it out")
	f.check(!c.Debug.Remote || len(c.Probes.ClientNames) > 0, "debug.remote", "needs client certificates, since it changes the level of the log; give probes.client_ca_file and probes.client_names")
	f.check(c.Drain.Wait >= 0, "drain.wait", "%s is negative", c.Drain.Wait)
	f.check(c.Drain.Timeout >= 0, "drain.timeout", "%s is negative", c.Drain.Timeout)
	f.add("grpc", "grpc", c.GRPC.Validate())
	f.add("probes", "probes", c.Probes.Validate())
	f = append(f, c.validateListeners()...)
	sources := map[string]authz.Source{}
	for i := range c.Vaults {
		v := &c.Vaults[i]
		where := fmt.Sprintf("vaults[%d]", i)
		label := fmt.Sprintf("%s %q", where, v.Name)
		if sources[v.Name] != nil {
			f.add(where, label, errors.New("name: is taken by another vault object"))
		}
		sources[v.Name] = stubSource{}
		f.add(where, label, errors.Join(apartFromIDs(v.Name, ""), v.Validate(), v.validateTokens(c.Grammar.MaxLength), c.ApartFromState(v)))
		f.add(where+".cache", label+".cache", errors.Join(v.Cache.Validate(), v.Sweep.Validate()))
	}
	if c.State.Vault != "" {
		f = append(f, c.validateState(sources[c.State.Vault] != nil)...)
	}
	_, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	f.add("", "", err)
	for i := range c.Policies {
		p := &c.Policies[i]
		where := fmt.Sprintf("policies[%d]", i)
		f.add(where, fmt.Sprintf("%s %q", where, p.Name), apartFromIDs(p.Name, p.ID))
	}
	for _, tie := range authz.Ties(c.Policies) {
		last := slices.IndexFunc(c.Policies, func(p authz.Policy) bool { return p.Name == tie.Policies[len(tie.Policies)-1] })
		f.add(fmt.Sprintf("policies[%d]", last), "", tie)
	}
	return f
}

// validateTokens checks what the vault object says about the tokens that are made for it.
func (v *Vault) validateTokens(maxLength int) error {
	var errs []error
	if v.Secrets != api.SecretsPlain && v.Secrets != api.SecretsHashed {
		errs = append(errs, fmt.Errorf("secrets: %q is neither plain nor hashed", v.Secrets))
	}
	if err := v.TokenPrefix.Validate(maxLength); err != nil {
		errs = append(errs, fmt.Errorf("token_prefix: %w", err))
	}
	return errors.Join(errs...)
}

// apartFromIDs refuses a name that another entity may have for its id, which can be chosen
// in the admin API.
func apartFromIDs(name, id string) error {
	if !authz.IsUUID(name) || name == id {
		return nil
	}
	return fmt.Errorf("name: %q looks like an id, which another one may get in the admin API; give it another name", name)
}

func (f *findings) check(ok bool, setting, format string, args ...any) {
	if !ok {
		*f = append(*f, finding{setting: setting, text: setting + ": " + fmt.Sprintf(format, args...)})
	}
}

// validateState checks the state and the admin API.
func (c *Config) validateState(hasVault bool) findings {
	var f findings
	api := c.Admin
	api.Grammar = authz.DefaultGrammar() // that of tokens, which has been checked
	f.add("admin", "admin", api.Validate())
	f.check(hasVault, "state.vault", "there is no vault object %q", c.State.Vault)
	f.add("state.mount", "state.mount", vaultkv.ValidateMount(c.State.Mount))
	f.check(c.State.Poll >= 100*time.Millisecond && c.State.Poll <= time.Minute, "state.poll", "%s is not between 100ms and 1m", c.State.Poll)
	return f
}

// validateListeners checks the addresses of all listeners.
func (c *Config) validateListeners() findings {
	listeners := []struct{ setting, address string }{{"listen.grpc", c.Listen.GRPC}, {"listen.probes", c.Listen.Probes}}
	if c.State.Vault != "" {
		listeners = append(listeners, struct{ setting, address string }{"admin.listen", c.Admin.Address})
	}
	var f findings
	f.check(c.Listen.SocketGroup == "" || c.Listen.hasSocket(), "listen.socket_group", "only has an effect on sockets, and neither listen.grpc nor listen.probes is one; give unix:/path or leave it out")
	for i, l := range listeners {
		f.add(l.setting, l.setting, server.ValidateAddress(l.address))
		for _, before := range listeners[:i] {
			if server.Collide(l.address, before.address) {
				f = append(f, finding{
					setting: l.setting, or: before.setting,
					text: fmt.Sprintf("%s: %q cannot be listened on beside %q of %s; give each a port of its own", l.setting, l.address, before.address, before.setting),
				})
			}
		}
	}
	return f
}
