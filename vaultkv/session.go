package vaultkv

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// TokenLife reports on the token without asking the server.
func (v *Vault) TokenLife() login.Life { return v.session.Life() }

// CheckToken asks the server for what keeping the token alive needs, see
// [login.Session.Check].
func (v *Vault) CheckToken(ctx context.Context) error {
	if err := v.session.Check(ctx); err != nil {
		return problemOf(err)
	}
	return nil
}

// sessionServer is the [login.Server] of a vault object's session.
type sessionServer struct{ v *Vault }

// Ask implements [login.Server].
func (s sessionServer) Ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*login.Answer, error) {
	a, problem := s.v.ask(ctx, send)
	if problem != nil {
		return nil, problem
	}
	a.Explain = func(ctx context.Context) error {
		switch a.Status {
		case 200, 204, 403, 404:
			return s.v.notVault(a)
		}
		return s.v.refusal(ctx, a)
	}
	return &a.Answer, nil
}

// UseToken implements [login.Server].
func (s sessionServer) UseToken(token string) {
	s.v.getter.useToken(token)
	s.v.breaker.reset()
}

// problemOf returns an error of a session as an [Error].
func problemOf(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var token *login.Error
	if !errors.As(err, &token) {
		return fail(StateFailing, 0, "the session failed; please report it")
	}
	problem := &Error{State: stateOf(token.Reason), status: token.Status, detail: token.Error(), kind: token.Error(), cause: token.Unwrap()}
	switch token.Reason {
	case login.NoAnswer:
		problem.kind = "no answer in time"
	case login.Interrupted:
		problem.inconclusive = true
	case login.Failed, login.NoToken, login.Refused, login.Rejected, login.NotKept:
	}
	return problem
}

func stateOf(r login.Reason) State {
	switch r {
	case login.NoToken:
		return StateUnknown
	case login.NoAnswer, login.Interrupted:
		return StateUnreachable
	case login.Refused:
		return StateLoginRefused
	case login.Rejected:
		return StateTokenRejected
	case login.NotKept:
		return StateOK
	case login.Failed:
	}
	return StateFailing
}
