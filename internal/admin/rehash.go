package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// rehashAtOnce bounds the credentials of one call that are changed at the same time. The
// state store commits their leases together.
const rehashAtOnce = 64

// rehash replaces secrets in clear text by their hashes, in one page of the keys. It can be
// repeated and interrupted: what is hashed stays as it is. It stops in good time before the
// call has to end, and the page ends there. It is not Kong's.
func (a *API) rehash(c *call) (reply, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return reply{}, err
	}
	store, err := a.credentialsOf(c.ctx, vault)
	if err != nil {
		return reply{}, err
	}
	v := schema.Violations{}
	in := schema.Typed(schema.Rehash, c.input, nil, v)
	if err := v.Err(); err != nil {
		return reply{}, err
	}
	if of := (credential.Place{Vault: vault}); !of.Hashed() {
		return reply{}, badRequest("The vault object keeps secrets in clear text; set its secrets to hashed first")
	}
	w, err := c.window(kvpath.IsSegment)
	if err != nil {
		return reply{}, err
	}
	keys, err := credential.SortedKeys(c.ctx, store)
	if err != nil {
		return reply{}, err
	}
	page := credential.After(keys, w.after)
	done := &rehashing{api: a, c: c, destroy: in.Yes("destroy_old_versions"), weak: in.Yes("weak_too"), report: api.Rehashed{Total: len(keys)}}
	last := done.run(vault, store, page[:min(w.size, len(page))])
	if done.report.Checked == len(page) {
		last = ""
	}
	slices.Sort(done.report.Guessable)
	slices.Sort(done.report.Unusable)
	slices.SortFunc(done.report.Failed, func(x, y api.RehashFailure) int { return cmp.Compare(x.AccessToken, y.AccessToken) })
	if done.earlier && !done.destroy {
		c.warn("Earlier versions in Vault may still have secrets in clear text: rehash with destroy_old_versions destroys them (credential rehash --destroy-old-versions)")
	}
	return c.list(done.report, last), nil
}

// A rehashing is one call of rehash.
type rehashing struct {
	api     *API
	c       *call
	destroy bool
	// weak has secrets hashed that are easy to guess.
	weak bool

	mu     sync.Mutex
	report api.Rehashed
	// earlier says that there are versions before the current one.
	earlier bool
}

// run rehashes keys and returns the last one that it took.
func (r *rehashing) run(vault schema.Stored, store credential.Store, keys []string) (last string) {
	var running errgroup.Group
	running.SetLimit(rehashAtOnce)
	began := time.Now()
	for _, key := range keys {
		if last != "" && (isOver(r.c.ctx) || time.Since(began) > r.api.cfg.Timeout/2) {
			break
		}
		last = key
		running.Go(func() error {
			r.one(credential.Place{Vault: vault, Store: store, Key: key})
			return nil
		})
	}
	_ = running.Wait() // none of them returns an error
	return last
}

// one rehashes a credential and reports what came out.
func (r *rehashing) one(p credential.Place) {
	c := &call{ctx: r.c.ctx, r: r.c.r, route: r.c.route, caller: r.c.caller}
	after := &answerWriter{header: http.Header{}}
	defer func() {
		if after.status != 0 {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.report.Checked++
			r.failed(p.Key, "An unexpected error occurred")
		}
	}()
	defer r.api.recover(after, r.c.r)
	hashed, guessable, err := r.hash(c, &p)
	usable := err == nil
	if foreign, is := errors.AsType[*api.Problem](err); is && foreign.Status == http.StatusConflict {
		err = nil
	}
	destroyed := 0
	if usable && r.destroy && (!guessable || r.weak) {
		destroyed, err = r.destroyOld(c, &p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, warning := range c.warnings {
		r.c.warn(warning)
	}
	r.report.Checked++
	r.earlier = r.earlier || p.HasEarlier()
	r.report.VersionsDestroyed += destroyed
	if hashed {
		r.report.Hashed++
	}
	if guessable {
		r.report.Guessable = append(r.report.Guessable, p.Key)
	}
	switch {
	case err != nil:
		r.failed(p.Key, r.api.problem(r.c.r, err).Message)
	case !usable:
		r.report.Unusable = append(r.report.Unusable, p.Key)
	}
}

func (r *rehashing) failed(accessToken, message string) {
	r.report.Failed = append(r.report.Failed, api.RehashFailure{AccessToken: accessToken, Message: message})
}

// hash replaces the secrets of a credential. Afterwards the version of p is one without a
// secret in clear text, unless guessable says that the secret is easy to guess: it is hashed
// only on demand, as it does not show afterwards.
func (r *rehashing) hash(c *call, p *credential.Place) (hashed, guessable bool, err error) {
	d, err := p.Read(c.ctx)
	if err != nil || d == nil || credential.IsHashed(d) {
		return false, false, err
	}
	_, err = r.api.alone(c, p, func() (reply, error) {
		hashed, guessable = false, false
		old, err := p.Read(c.ctx)
		if err != nil || old == nil || credential.IsHashed(old) {
			return reply{}, err
		}
		d := maps.Clone(old)
		if credential.Hash(d); !credential.IsHashed(d) || !r.api.isUsable(p, old) {
			return reply{}, notCredential()
		}
		if guessable = credential.IsGuessable(old); guessable && !r.weak {
			return reply{}, nil
		}
		if err := r.api.writeCredential(c, p, "rehash", old, d); err != nil {
			return reply{}, err
		}
		hashed = true
		return reply{}, nil
	})
	return hashed && err == nil, guessable && err == nil, err
}

// destroyOld destroys the versions before the current one, which must have no secret in clear
// text. Of a credential that was deleted it destroys that one too. It looks again under the
// lease of the credential: after a deletion and a creation the numbers begin again, and what
// was old before would be the new one.
func (r *rehashing) destroyOld(c *call, p *credential.Place) (destroyed int, err error) {
	if old, err := p.OldVersions(c.ctx); err != nil || len(old) == 0 {
		return 0, err
	}
	_, err = r.api.alone(c, p, func() (reply, error) {
		destroyed = 0
		if err := r.api.deps.Store.Refresh(c.ctx); err != nil {
			return reply{}, err
		}
		d, err := p.Read(c.ctx)
		switch {
		case err != nil:
			return reply{}, err
		case d != nil && !credential.IsHashed(d):
			return reply{}, &api.Problem{Status: http.StatusConflict, Message: "Somebody has changed the credential meanwhile; repeat the call"}
		}
		old, err := p.OldVersions(c.ctx)
		if err != nil || len(old) == 0 {
			return reply{}, err
		}
		err = r.api.apply(c, entryOf(p, "destroy_old_versions", nil, nil), p.Change(), func(ctx context.Context) error {
			return p.DestroyVersions(ctx, old)
		})
		if err == nil {
			destroyed = len(old)
		}
		return reply{}, err
	})
	return destroyed, err
}

func notCredential() *api.Problem {
	return &api.Problem{Status: http.StatusConflict, Message: "What is stored under this access token is not a credential; delete it first"}
}
