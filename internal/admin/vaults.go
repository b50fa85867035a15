package admin

import (
	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/state"
)

// vaultFields are those of a vault object.
var vaultFields = api.FieldsOf(api.Vault{KV: api.KV1, Secrets: api.SecretsPlain})

func vaultsEntity() *entity {
	return &entity{
		kind: state.KindVaults, name: "vaults", key: "name",
		fields: vaultFields,
		unique: func(d document) []constraint { return uniqueTexts(d, "name") },
		check:  checkVault,
		stay:   []string{"secrets", "token_prefix"},
		inUse:  vaultInUse,
	}
}

// checkVault accepts the mask that answers show instead of the token, so that an answer
// can be sent back; the stored token stays. If the change affects where the token is
// sent or what it reads, it must be given again: a caller who cannot read the token must
// not be able to send it elsewhere, or to read something else with it.
func checkVault(a *API, d, old document, v violations) error {
	if d["port"] == int64(0) {
		v.add("port", "0 is no port to connect to")
	}
	switch {
	case d["vault_token"] != redact.Text:
	case old == nil:
		v.add("vault_token", "is the mask that answers show, give the token itself")
	default:
		d["vault_token"] = old["vault_token"]
		for _, name := range []string{"protocol", "host", "port", "mount", "prefix", "kv", "namespace"} {
			if d[name] != old[name] {
				v.add("vault_token", "must be given again where protocol, host, port, mount, prefix, kv or namespace changes")
			}
		}
	}
	if err := authz.TokenPrefix(d.text("token_prefix")).Validate(a.cfg.Grammar.MaxLength); err != nil {
		v.add("token_prefix", err.Error())
	}
	if len(v) == 0 {
		v.addErrors(a.deps.Vaults.Validate(vaultObjectOf(d)), vaultField)
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

func vaultObjectOf(d document) VaultObject {
	v := entityOf[api.Vault](vaultFields, d)
	return VaultObject{
		ID: v.ID, Name: v.Name, Protocol: v.Protocol, Host: v.Host, Port: v.Port,
		Mount: v.Mount, Prefix: d.text("prefix"), Token: redact.New(v.VaultToken), KV: v.KV, Namespace: d.text("namespace"), TokenPrefix: authz.TokenPrefix(d.text("token_prefix")),
	}
}

func vaultInUse(a *API, d document) error {
	all, err := a.all(a.policies)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.record("vault").text("id") == d.text("id") {
			return referencedBy(a.vaults.name, "plugins")
		}
	}
	return nil
}

// vaultStatus tries the connection of a vault object. It goes by what this replica has read
// of the state, so that it also answers if the server is that of the state.
func (a *API) vaultStatus(c *call) (reply, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return reply{}, err
	}
	status, err := a.deps.TryVault(c.ctx, vault.id(), vault.version)
	if err != nil {
		return reply{}, notConnected(vault, err)
	}
	return ok(status), nil
}
