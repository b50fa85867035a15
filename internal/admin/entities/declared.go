package entities

import (
	"crypto/sha256"
	"fmt"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/state"
)

// Declared are the entities of the configuration file. Where one of them has no
// id, [DeclaredID] of its name is its id.
type Declared struct {
	Consumers []authz.Consumer
	Policies  []authz.Policy
	Vaults    []VaultObject
}

// DeclaredID is the id of a declared entity that has none of its own. It depends
// on nothing but the kind and the name.
func DeclaredID(kind, name string) string {
	b := sha256.Sum256([]byte("vault-authz/" + kind + "/" + name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // RFC 9562, version 8
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Documents returns the declared entities as documents, which the API shows.
func (d Declared) Documents() (map[string][]schema.Stored, error) {
	all, err := Build(d, state.NewView(nil))
	if err != nil {
		return nil, err
	}
	documents := map[string][]schema.Stored{}
	add := func(kind string, d schema.Document) {
		documents[kind] = append(documents[kind], schema.Stored{Document: d, Declared: true})
	}
	ids := map[string]string{}
	for _, v := range all.Vaults {
		ids[v.Name] = v.ID
		add(state.KindVaults, schema.DocumentOf(schema.Vault, &api.Vault{
			ID: v.ID, Name: v.Name, Protocol: v.Protocol, Host: v.Host, Port: v.Port,
			Mount: v.Mount, Prefix: &v.Prefix, VaultToken: redact.Text, KV: v.KV, Namespace: &v.Namespace, Secrets: v.Secrets, TokenPrefix: new(string(v.TokenPrefix)),
		}))
	}
	for _, c := range d.Consumers {
		consumer := api.ConsumerOf(&c)
		add(state.KindConsumers, schema.DocumentOf(schema.Consumer, &consumer))
		for _, group := range c.Groups {
			add(state.KindACLs, schema.Document{"id": DeclaredID(state.KindACLs, c.ID+"/"+group), "group": group, "consumer": schema.Document{"id": c.ID}})
		}
	}
	for _, p := range all.Policies {
		if ids[p.Vault] == "" {
			return nil, fmt.Errorf("policy %q: there is no vault object %q", p.Name, p.Vault)
		}
		policy := api.PolicyOf(&p)
		policy.Vault = &api.Ref{ID: ids[p.Vault]}
		add(state.KindPolicies, schema.DocumentOf(schema.Policy, &policy))
	}
	return documents, nil
}
