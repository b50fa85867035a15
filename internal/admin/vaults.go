package admin

import (
	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/state"
)

func vaultsEntity() *entity {
	return &entity{
		kind: state.KindVaults, name: "vaults", key: "name",
		fields: schema.Vault,
		unique: func(d schema.Document) []constraint { return uniqueTexts(d, "name") },
		check:  checkVault,
		stay:   []string{"secrets", "token_prefix"},
		usedBy: func(d, policy schema.Document) bool { return policy.Record("vault").Text("id") == d.Text("id") },
	}
}

// checkVault accepts the mask that answers show instead of the token, so that an answer
// can be sent back; the stored token stays. If the change affects where the token is
// sent or what it reads, it must be given again: a caller who cannot read the token must
// not be able to send it elsewhere, or to read something else with it.
func checkVault(a *API, d, old schema.Document, v schema.Violations) error {
	if d["port"] == int64(0) {
		v.Add("port", "0 is no port to connect to")
	}
	switch {
	case d["vault_token"] != redact.Text:
	case old == nil:
		v.Add("vault_token", "is the mask that answers show, give the token itself")
	default:
		d["vault_token"] = old["vault_token"]
		for _, name := range []string{"protocol", "host", "port", "mount", "prefix", "kv", "namespace"} {
			if d[name] != old[name] {
				v.Add("vault_token", "must be given again where protocol, host, port, mount, prefix, kv or namespace changes")
			}
		}
	}
	if err := authz.TokenPrefix(d.Text("token_prefix")).Validate(a.cfg.Grammar.MaxLength); err != nil {
		v.Add("token_prefix", err.Error())
	}
	if len(v) == 0 {
		v.AddErrors(a.deps.Vaults.Validate(entities.VaultObjectOf(d)), vaultField)
	}
	return nil
}

// vaultField returns the field of a vault object for a setting of its connection.
func vaultField(setting string) string {
	switch setting {
	case "address":
		return "host"
	case "token":
		return "vault_token"
	}
	return setting
}

// vaultStatus tries the connection of a vault object. It goes by what this replica has read
// of the state, so that it also answers if the server is that of the state.
func (a *API) vaultStatus(c *call) (reply, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return reply{}, err
	}
	status, err := a.deps.TryVault(c.ctx, vault.ID(), vault.Version)
	if err != nil {
		return reply{}, notConnected(vault, err)
	}
	return ok(status), nil
}
