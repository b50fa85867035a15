package login

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/api"
)

// tokenTimeout bounds each request about a token, unless Config.Timeout is longer:
// logins take longer than reads, but a connection that leads nowhere must not use
// up the life of the token.
const tokenTimeout = 5 * time.Second

// The paths of requests about a token.
const (
	lookupSelf = "auth/token/lookup-self"
	renewSelf  = "auth/token/renew-self"
	revokeSelf = "auth/token/revoke-self"
)

// post sends a request with the given token, which may be empty.
func (s *Session) post(ctx context.Context, token, path string, body map[string]any) (*Answer, error) {
	raw, err := json.Marshal(body)
	if err != nil || body == nil {
		raw = []byte("{}")
	}
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().WriteRawWithContext(ctx, path, raw)
	})
}

// lookUp asks the server about a token.
func (s *Session) lookUp(ctx context.Context, token string) (*Answer, error) {
	client := s.with(token)
	return s.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return client.Logical().ReadRawWithContext(ctx, lookupSelf)
	})
}

// ask sends one request about a token.
func (s *Session) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*Answer, error) {
	limit := max(s.cfg.Timeout, tokenTimeout)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err := s.server.Ask(bounded, send)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		slow := fail(NoAnswer, 0, "no answer from %s within %s to a request about the Vault token; check the server's load and the network to it", s.cfg.Address, limit)
		slow.cause = context.DeadlineExceeded
		return nil, slow
	}
	return a, err
}

// with returns a client that sends the given token.
func (s *Session) with(token string) *api.Client {
	client := s.bare.WithNamespace(s.cfg.namespace())
	client.SetToken(token)
	return client
}
