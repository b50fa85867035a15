package entities

import (
	"net"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
)

// A VaultObject is the connection to the KV mount with the credentials of some
// policies.
type VaultObject struct {
	ID, Name string
	// Protocol is http or https.
	Protocol, Host string
	Port           int
	// Prefix is a folder in the mount, empty for the mount itself.
	Mount, Prefix string
	// Token is the Vault token. It is empty for a declared vault object, which
	// has a login of its own.
	Token redact.String
	// KV is v1 or v2.
	KV        string
	Namespace string
	// Secrets is how credentials are written: [api.SecretsPlain] or [api.SecretsHashed].
	// Only a declared vault object has it here.
	Secrets string
	// TokenPrefix begins the tokens that are made.
	TokenPrefix authz.TokenPrefix
	// Revision grows with each change. What was cached under another one was
	// read elsewhere.
	Revision int
	// Declared says that it is of the configuration file.
	Declared bool
	// Lost says that a policy refers to it, and that it does not exist or cannot be
	// decoded. Its source must always answer [authz.ErrUnavailable]: without it the
	// policy would be dropped, and its requests would be governed by another.
	Lost bool
}

// Address is the URL of the server.
func (v VaultObject) Address() string {
	return v.Protocol + "://" + net.JoinHostPort(strings.Trim(v.Host, "[]"), strconv.Itoa(v.Port))
}

// VaultObjectOf returns the vault object of a document.
func VaultObjectOf(d schema.Document) VaultObject {
	v := schema.EntityOf[api.Vault](schema.Vault, d)
	return VaultObject{
		ID: v.ID, Name: v.Name, Protocol: v.Protocol, Host: v.Host, Port: v.Port,
		Mount: v.Mount, Prefix: d.Text("prefix"), Token: redact.New(v.VaultToken), KV: v.KV, Namespace: d.Text("namespace"), TokenPrefix: authz.TokenPrefix(d.Text("token_prefix")),
	}
}
