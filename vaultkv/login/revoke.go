package login

import (
	"context"
	"time"
)

const (
	// revokeLimit bounds the revocation of tokens at a stop.
	revokeLimit = time.Second
	// maxSuperseded bounds how many tokens wait to be revoked.
	maxSuperseded = 16
)

// revokeSuperseded revokes the replaced tokens that no request carries any more.
func (s *Session) revokeSuperseded(ctx context.Context) {
	for {
		s.mu.Lock()
		if len(s.superseded) == 0 || time.Since(s.superseded[0].at) <= 2*s.cfg.Timeout {
			s.mu.Unlock()
			return
		}
		token := s.superseded[0].token
		s.superseded = s.superseded[1:]
		s.mu.Unlock()
		// If this fails the token expires by itself. The other tokens wait until the
		// server answers again, so that the current token does not wait for them.
		if _, err := s.post(ctx, token, revokeSelf, nil); err != nil {
			return
		}
	}
}

// Close cancels a login under way, lets no other start, and revokes the tokens that
// the session logged in for. It does not revoke a given token. It takes at most a
// second and works although ctx has ended. It returns the first failure; the token
// then lives until it expires.
func (s *Session) Close(ctx context.Context) (first error) {
	s.logins.close()
	s.lookups.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	s.mu.Lock()
	l, all := s.lease, s.superseded
	s.superseded = nil
	s.mu.Unlock()
	if l.own && !l.batch && !l.expired(time.Now()) {
		// It lives longest, so it is revoked first.
		all = append([]superseded{{token: l.token}}, all...)
	}
	for _, t := range all {
		a, err := s.post(ctx, t.token, revokeSelf, nil)
		if err == nil && a.Status == 403 && a.PolicyDenies() {
			err = fail(NotKept, a.Status, `the Vault token may not revoke itself, so it lives on after a stop; add to one of its policies: path "auth/token/revoke-self" { capabilities = ["update"] }`)
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}
