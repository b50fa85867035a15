package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
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
	keys, err := sortedKeys(c.ctx, p.store)
	if err != nil {
		return reply{}, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return !has(key) })
	places, last := []place{}, ""
	for _, key := range after(keys, w.after) {
		if len(places) == w.size {
			last = places[w.size-1].key
			break
		}
		places = append(places, place{vault: p.vault, store: p.store, key: key})
	}
	documents, err := readAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, judge, withLastUse := []document{}, a.newJudge(), a.lastUses(c, true)
	for i, d := range documents {
		if d != nil {
			data = append(data, withLastUse(&places[i], judge.view(&places[i], d)).with("access_token", places[i].key))
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

// after returns the sorted keys after one.
func after(keys []string, key string) []string {
	first, found := slices.BinarySearch(keys, key)
	if found {
		first++
	}
	return keys[first:]
}

func sortedKeys(ctx context.Context, store CredentialStore) ([]string, error) {
	var keys []string
	err := store.EachKey(ctx, func(key string) {
		// Names that end with a slash are folders.
		if kvpath.IsSegment(key) {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return nil, unavailable(err)
	}
	slices.Sort(keys)
	return keys, nil
}

const (
	// readers bounds the concurrent reads of one call.
	readers = 8
	// maxScan bounds how many credentials one page looks at, where only some
	// of them are wanted.
	maxScan = 2000
)

// readAll reads credentials, in order. A credential that is gone is nil, one that
// cannot be decoded is empty.
func readAll(ctx context.Context, places []place) ([]document, error) {
	documents := make([]document, len(places))
	errs := make([]error, len(places))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(readers, len(places)) {
		wg.Go(func() {
			for i := range next {
				documents[i], errs[i] = places[i].read(ctx)
				var malformed *api.Problem
				if errors.As(errs[i], &malformed) {
					documents[i], errs[i] = document{}, nil
				}
			}
		})
	}
	for i := range places {
		next <- i
	}
	close(next)
	wg.Wait()
	return documents, errors.Join(errs...)
}

// consumerCredentials scans the credentials of all vault objects: they are stored by
// access token, and an index by consumer would miss records that were made by hand. A
// page may be short and still have a next one.
func (a *API) consumerCredentials(c *call) (reply, error) {
	consumer, err := a.find(a.consumers, c.param("consumer"))
	if err != nil {
		return reply{}, err
	}
	w, err := c.window(isPlace)
	if err != nil {
		return reply{}, err
	}
	places, more, err := a.scan(c.ctx, w.after)
	if err != nil {
		return reply{}, err
	}
	documents, err := readAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, judge, withLastUse := []document{}, a.newJudge(), a.lastUses(c, true)
	for i, d := range documents {
		if !strings.EqualFold(d.record("consumer").text("id"), consumer.id()) {
			continue
		}
		p := &places[i]
		data = append(data, withLastUse(p, judge.view(p, d)).with("access_token", p.key).with("vault", document{"id": p.vault.id(), "name": p.vault.text("name")}))
		if len(data) == w.size && (more || i+1 < len(places)) {
			return c.list(data, p.position()), nil
		}
	}
	if more {
		return c.list(data, places[len(places)-1].position()), nil
	}
	return c.list(data, ""), nil
}

// position orders credentials of all vault objects.
func (p *place) position() string { return p.vault.id() + "/" + p.key }

// isPlace says whether an offset is the position of a credential.
func isPlace(s string) bool {
	vault, key, _ := strings.Cut(s, "/")
	return authz.IsUUID(vault) && kvpath.IsSegment(key)
}

// scan returns the credentials after a position, and whether there are more.
func (a *API) scan(ctx context.Context, after string) (places []place, more bool, err error) {
	all, err := a.all(a.vaults)
	if err != nil {
		return nil, false, err
	}
	for _, vault := range all {
		if vault.id()+"0" < after { // "0" comes after "/": all of this one is before
			continue
		}
		store, err := a.credentialsOf(ctx, vault)
		if err != nil {
			return nil, false, err
		}
		keys, err := sortedKeys(ctx, store)
		if err != nil {
			return nil, false, err
		}
		for _, key := range keys {
			p := place{vault: vault, store: store, key: key}
			if p.position() <= after {
				continue
			}
			if len(places) == maxScan {
				return places, true, nil
			}
			places = append(places, p)
		}
	}
	return places, false, nil
}
