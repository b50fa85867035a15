package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

func (a *API) listCredentials(c *call) (reply, error) {
	p, err := a.place(c)
	if err != nil {
		return reply{}, err
	}
	w, err := c.window(kvpath.IsSegment)
	if err != nil {
		return reply{}, err
	}
	has, err := c.fingerprint()
	if err != nil {
		return reply{}, err
	}
	keys, err := credential.SortedKeys(c.ctx, p.Store)
	if err != nil {
		return reply{}, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return !has(key) })
	keys = credential.After(keys, w.after)
	last := ""
	if len(keys) > w.size {
		keys, last = keys[:w.size], keys[w.size-1]
	}
	var places []credential.Place
	for _, key := range keys {
		places = append(places, credential.Place{Vault: p.Vault, Store: p.Store, Key: key})
	}
	documents, err := credential.ReadAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, view := []schema.Document{}, a.views(c, true)
	for i, d := range documents {
		if d != nil {
			data = append(data, view(&places[i], d).With("access_token", places[i].Key))
		}
	}
	return c.list(data, last), nil
}

// fingerprint reads by which fingerprint access tokens are listed.
func (c *call) fingerprint() (has func(accessToken string) bool, err error) {
	q := c.r.URL.Query()
	if !q.Has("fingerprint") {
		return func(string) bool { return true }, nil
	}
	wanted := strings.ToLower(q.Get("fingerprint"))
	if !authz.IsFingerprint(wanted) {
		return nil, badRequest("fingerprint must be that of an access token, as logs have it: 8 hexadecimal digits")
	}
	return func(accessToken string) bool { return authz.Fingerprint(accessToken) == wanted }, nil
}

// consumerCredentials scans the credentials of all vault objects: they are stored by
// access token, and an index by consumer would miss records that were made by hand. A
// page may be short and still have a next one.
func (a *API) consumerCredentials(c *call) (reply, error) {
	consumer, err := a.find(a.consumers, c.param("consumer"))
	if err != nil {
		return reply{}, err
	}
	w, err := c.window(credential.IsPosition)
	if err != nil {
		return reply{}, err
	}
	places, more, err := a.scan(c.ctx, w.after)
	if err != nil {
		return reply{}, err
	}
	documents, err := credential.ReadAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, view := []schema.Document{}, a.views(c, true)
	for i, d := range documents {
		if !strings.EqualFold(d.Record("consumer").Text("id"), consumer.ID()) {
			continue
		}
		p := &places[i]
		data = append(data, view(p, d).With("access_token", p.Key).With("vault", schema.Document{"id": p.Vault.ID(), "name": p.Vault.Text("name")}))
		if len(data) == w.size && (more || i+1 < len(places)) {
			return c.list(data, p.Position()), nil
		}
	}
	if more {
		return c.list(data, places[len(places)-1].Position()), nil
	}
	return c.list(data, ""), nil
}

// scan returns the credentials after a position, and whether there are more.
func (a *API) scan(ctx context.Context, after string) (places []credential.Place, more bool, err error) {
	all, err := a.all(a.vaults)
	if err != nil {
		return nil, false, err
	}
	for _, vault := range all {
		if vault.ID()+"0" < after { // "0" comes after "/": all of this one is before
			continue
		}
		store, err := a.credentialsOf(ctx, vault)
		if err != nil {
			return nil, false, err
		}
		keys, err := credential.SortedKeys(ctx, store)
		if err != nil {
			return nil, false, err
		}
		for _, key := range keys {
			p := credential.Place{Vault: vault, Store: store, Key: key}
			if p.Position() <= after {
				continue
			}
			if len(places) == credential.MaxScan {
				return places, true, nil
			}
			places = append(places, p)
		}
	}
	return places, false, nil
}
