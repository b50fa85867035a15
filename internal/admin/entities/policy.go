package entities

import (
	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// PolicyOf returns the policy of a document, with the id of its vault object. An option
// that the document does not have, because an earlier version wrote it, has its default.
func PolicyOf(d schema.Document) authz.Policy {
	policy := schema.EntityOf[api.Policy](schema.Policy, d)
	p := policy.Authz()
	p.Vault = d.Record("vault").Text("id")
	return p
}
