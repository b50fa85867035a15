package config

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/fieldcopy"
)

// Show returns the effective configuration as a YAML document that [Parse]
// takes. It refers to secrets as the file did and contains none.
func (c *Config) Show() ([]byte, error) { return yaml.Marshal(c.file()) }

// Shown returns the configuration that [Config.Show] wrote. It takes nothing from the
// environment, which has had its effect already, and contains no secrets, so that no service
// can be built of it.
func Shown(text []byte) (Config, error) {
	var f file
	d, err := read(text, &f)
	if err != nil {
		return Config{}, err
	}
	if err := d.reported(nil, nil); err != nil {
		return Config{}, err
	}
	c := Default()
	f.apply(&c, nil) // what it finds is that secrets are missing
	return c, nil
}

// file is the document that reads as c.
func (c *Config) file() *file {
	var f file
	fileFields.Back(&f, c)
	f.Admin.Tokens = sections[tokenEntry](c.Admin.Tokens)
	f.Admin.ClientNames = sections[clientEntry](c.Admin.ClientNames)
	for i := range c.Vaults {
		f.Vaults = append(f.Vaults, showVault(&c.Vaults[i]))
	}
	for i := range c.Consumers {
		f.Consumers = append(f.Consumers, api.ConsumerOf(&c.Consumers[i]))
	}
	for i := range c.Policies {
		f.Policies = append(f.Policies, api.PolicyOf(&c.Policies[i]))
	}
	return &f
}

// sections is the opposite of entries.
func sections[S, T any](entries []T) []S {
	all := fieldcopy.Of(reflect.TypeFor[S](), reflect.TypeFor[T]())
	var out []S
	for i := range entries {
		var one S
		all.Back(&one, &entries[i])
		out = append(out, one)
	}
	return out
}

func showVault(v *Vault) vaultEntry {
	var e vaultEntry
	vaultFields.Back(&e, v)
	e.Token = tokenReference{File: v.TokenFile, Env: v.TokenEnv, Agent: v.Agent}
	if v.Login != nil {
		e.Login.show(v.Login)
	}
	e.Cache.Sweep = &v.Sweep.Interval
	if addresses := strings.Split(v.Address, ","); len(addresses) > 1 {
		e.Address, e.Addresses = "", addresses
	}
	return e
}
