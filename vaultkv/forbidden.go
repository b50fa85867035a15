package vaultkv

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// A 403 is about our own token and never about the client's: either the server
// no longer takes it, or its policies do not cover the mount. Only the server
// can tell which, so it is asked; not by each of the many requests that get a
// 403 at the same time, though.

// lookupInterval is how long the outcome of one lookup-self stands.
const lookupInterval = time.Second

// refusals remembers why the last 403 came.
type refusals struct {
	// looking lets one lookup-self at a time out.
	looking sync.Mutex

	mu      sync.Mutex
	token   string
	at      time.Time
	problem *Error
}

func (r *refusals) recall(token string) *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.token != token || time.Since(r.at) > lookupInterval {
		return nil
	}
	return r.problem
}

func (r *refusals) remember(token string, problem *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token, r.at, r.problem = token, time.Now(), problem
}

// forbidden explains a 403.
func (v *Vault) forbidden(ctx context.Context) *Error {
	token := v.client.Token()
	if known := v.refusals.recall(token); known != nil {
		return known
	}
	if !v.refusals.looking.TryLock() {
		problem := v.unexplained()
		problem.aside = true
		return problem
	}
	defer v.refusals.looking.Unlock()
	problem := v.lookUpSelf(ctx)
	if ctx.Err() == nil {
		v.refusals.remember(token, problem)
	}
	return problem
}

func (v *Vault) lookUpSelf(ctx context.Context) *Error {
	a, problem := v.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithContext(ctx, "auth/token/lookup-self")
	})
	switch {
	case problem != nil:
		return v.unexplained()
	case a.status == 200:
		return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover mount %q (or there is no such mount); add to one of them: path %q { capabilities = [\"read\"] }",
			v.cfg.Mount, v.layout.policyPath())
	case a.status == 403 && v.cfg.TokenFile != "":
		return fail(StateTokenRejected, 403, "the server does not take the Vault token in %q: it has expired, was revoked, or is of another namespace; put a new one there", v.cfg.TokenFile)
	case a.status == 403:
		return fail(StateTokenRejected, 403, "the server does not take the Vault token: it has expired, was revoked, or is of another namespace; configure a new one")
	}
	return v.unexplained()
}

// unexplained is for when nobody can say more; what is known of the state stays.
func (v *Vault) unexplained() *Error {
	s := v.State()
	if s != StateForbidden && s != StateTokenRejected {
		s = StateFailing
	}
	return fail(s, 403, "the server refuses our Vault token for this (403)")
}
