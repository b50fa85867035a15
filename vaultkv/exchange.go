package vaultkv

import (
	"context"

	"github.com/hashicorp/vault/api"
)

// do is perform with an error as its result.
func (v *Vault) do(ctx context.Context, send func(context.Context) (*api.Response, error), read func(*answer) *Error) error {
	if problem := v.perform(ctx, send, read); problem != nil {
		return problem
	}
	return nil
}

// perform sends a request, reads its answer, and records what the outcome says about the
// server.
func (v *Vault) perform(ctx context.Context, send func(context.Context) (*api.Response, error), read func(*answer) *Error) *Error {
	bounded, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	a, problem := v.exchangeInTime(bounded, send)
	if problem == nil {
		problem = v.refusal(bounded, a)
	}
	if problem == nil {
		problem = read(a)
	}
	if problem == nil {
		v.session.Accepted()
	}
	v.record(problem)
	return problem
}

// exchange sends a request, once more with another token after a 403, and records the
// index of an answered write.
func (v *Vault) exchange(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	return v.exchangeInTime(ctx, send)
}

// exchangeInTime is exchange with a context that the caller has bounded.
func (v *Vault) exchangeInTime(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	if err := v.session.Ready(ctx); err != nil {
		return nil, problemOf(err)
	}
	token := v.session.Token()
	a, problem := v.ask(ctx, send)
	if problem == nil && a.Status == 403 && v.session.Replace(ctx, token, &a.Answer) {
		a, problem = v.ask(ctx, send)
	}
	if problem == nil && a.writes() && a.Status < 300 {
		v.conn.advance(a.index)
	}
	return a, problem
}
