package kongimport

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

func (p *planner) vault(o object) {
	r := readerOf(o, "")
	v := api.Vault{
		ID: r.id(), Name: r.text("name"), Protocol: r.text("protocol"), Host: r.text("host"), Port: r.integer("port"),
		Mount: r.text("mount"), Prefix: r.optional("prefix"), KV: cmp.Or(r.text("kv"), "v1"), Namespace: r.optional("namespace"),
	}
	token, usable := vaultToken(r)
	s := Step{Action: Create, Kind: kindVault, Name: cmp.Or(v.Name, v.ID), ID: v.ID, Notes: r.unread(ignored("tags")...)}
	defer func() { p.add(&s) }()
	if at := slices.IndexFunc(p.have.Vaults, func(h api.Vault) bool { return v.ID != "" && h.ID == v.ID || v.Name != "" && h.Name == v.Name }); at >= 0 && len(r.problems) == 0 {
		var d differences
		h := p.have.Vaults[at]
		d.id(v.ID, h.ID)
		d.add("name", v.Name, h.Name)
		d.add("protocol", v.Protocol, h.Protocol)
		d.add("host", v.Host, h.Host)
		d.add("port", v.Port, h.Port)
		d.add("mount", v.Mount, h.Mount)
		d.add("prefix", v.Prefix, h.Prefix)
		d.add("kv", v.KV, cmp.Or(h.KV, "v1"))
		d.add("namespace", v.Namespace, h.Namespace)
		s.compared(d)
		if h.Secrets == api.SecretsHashed {
			s.Notes = append(s.Notes, "secrets are stored as hashes here: Kong cannot use a credential once it is written here")
		}
		return
	}
	for _, field := range []struct {
		name    string
		missing bool
	}{{"name", v.Name == ""}, {"protocol", v.Protocol == ""}, {"host", v.Host == ""}, {"port", v.Port == 0}, {"mount", v.Mount == ""}} {
		if field.missing && len(r.problems) == 0 {
			r.problems = append(r.problems, field.name+" is missing")
		}
	}
	if v.ID == "" && v.Name != "" {
		v.ID = idOf("vault-auth", v.Name)
		s.ID = v.ID
	}
	switch {
	case len(r.problems) > 0:
		s.needs(r.problems...)
		return
	case !usable:
		s.needs("needs a token: vault-authz vault create " + vaultArguments(&v))
		return
	}
	s.make = func(ctx context.Context, c *api.Client) error {
		made := v
		made.VaultToken = token
		_, err := c.Vaults.Create(ctx, made)
		return err
	}
	p.have.Vaults = append(p.have.Vaults, v)
}

// vaultToken returns the token of a vault object, and whether it is one. A
// reference is never sent as if it were a token; nor is what Kong's keyring has
// encrypted, decK's variables, or a mask.
func vaultToken(r *reader) (string, bool) {
	r.read["vault_token"], r.read["token"] = true, true
	token := cmp.Or(nameOf(r.fields["vault_token"]), nameOf(r.fields["token"]))
	if token == "" || strings.ContainsAny(token, "{}[]<>*$") {
		return "", false
	}
	return token, !strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}

// vaultArguments are the arguments of the command that makes a vault object.
func vaultArguments(v *api.Vault) string {
	words := []string{quoted(v.Name)}
	if v.ID != "" {
		words = append(words, "--id", v.ID)
	}
	address := url.URL{Scheme: v.Protocol, Host: net.JoinHostPort(strings.Trim(v.Host, "[]"), strconv.Itoa(v.Port))}
	words = append(words, "--address", quoted(address.String()), "--mount", quoted(v.Mount), "--kv", quoted(v.KV))
	if v.Prefix != nil {
		words = append(words, "--prefix", quoted(*v.Prefix))
	}
	if v.Namespace != nil {
		words = append(words, "--namespace", quoted(*v.Namespace))
	}
	return strings.Join(append(words, "--vault-token-file FILE"), " ")
}

// quoted is a word as a shell takes it literally.
func quoted(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/:", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !plain(c) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
