package reconcile

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

// A declaration is a configuration with its entities as the admin API shows them. It is
// immutable.
type declaration struct {
	config   *config.Config
	entities entities.Declared
}

func newDeclaration(c *config.Config) *declaration { return &declaration{c, Entities(c)} }

// Declared returns the entities of the configuration that decisions go by.
func (r *Reconciler) Declared() entities.Declared { return r.declaration.Load().entities }

// Validate reports why a vault object cannot be made through the admin API.
func (r *Reconciler) Validate(v entities.VaultObject) error {
	opened := vaultConfig(v)
	return errors.Join(opened.Validate(), r.declaration.Load().config.ApartFromState(&opened))
}

// Entities returns the entities of the configuration as the admin API shows them.
func Entities(c *config.Config) entities.Declared {
	d := entities.Declared{Consumers: c.Consumers, Policies: c.Policies}
	for i := range c.Vaults {
		d.Vaults = append(d.Vaults, declaredVault(&c.Vaults[i]))
	}
	return d
}

func declaredVault(v *config.Vault) entities.VaultObject {
	o := entities.VaultObject{Name: v.Name, Mount: v.Mount, Prefix: v.Prefix, KV: v.KV, Namespace: v.Namespace, Secrets: v.Secrets, TokenPrefix: v.TokenPrefix, Declared: true}
	// The address is valid; parts that it lacks stay empty. Of several addresses the first
	// is shown, since Kong's vault objects have one.
	first, _, _ := strings.Cut(v.Address, ",")
	if u, err := url.Parse(first); err == nil && u.Host != "" {
		o.Protocol, o.Host = u.Scheme, u.Hostname()
		o.Port, _ = strconv.Atoi(u.Port())
	}
	return o
}

// vaultConfig returns the configuration of a vault object that was made through the admin
// API. Settings that Kong's vault objects lack have their defaults.
func vaultConfig(v entities.VaultObject) config.Vault {
	c := config.DefaultVault()
	c.ID, c.Revision, c.Lost = v.ID, v.Revision, v.Lost
	c.Name, c.Address, c.Mount, c.Prefix, c.Namespace = v.Name, v.Address(), v.Mount, v.Prefix, v.Namespace
	c.Token, c.TokenPrefix = v.Token.Reveal(), v.TokenPrefix
	if v.KV != "" {
		c.KV = v.KV
	}
	if c.KV == vaultkv.KV2 {
		c.Sweep.Reads = sweep.KV2Reads
	}
	c.MaxConnections = c.Cache.MaxLoads
	return c
}
