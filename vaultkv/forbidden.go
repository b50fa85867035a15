package vaultkv

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// A 403 is about our own token and never about the client's: either the server
// no longer takes it, or its policies do not cover what we asked for. Only the
// server can tell which, so it is asked; not by each of the many requests that
// get a 403 at the same time, though.

// lookupInterval is how long the outcome of one lookup-self stands.
const lookupInterval = time.Second

// A verdict is what is known of a token after a 403.
type verdict uint8

const (
	tokenUnsure verdict = iota
	// tokenAlive: the server takes the token, its policies are the matter.
	tokenAlive
	tokenDead
)

// refused remembers the verdict on a token.
type refused struct {
	token   string
	at      time.Time
	verdict verdict
}

// judge finds out why the server answered a to a request with the token.
func (s *session) judge(ctx context.Context, token string, a *answer) verdict {
	if a.Errors == nil {
		// It is not Vault that refuses.
		return tokenUnsure
	}
	if a.errorSays("invalid token") {
		// So says Vault. OpenBao, and Vault before 1.10, say nothing.
		s.remember(token, tokenDead)
		return tokenDead
	}
	if v, known := s.recall(token); known {
		return v
	}
	_, _ = s.lookups.join(ctx, s.home.cfg.Timeout, func() bool { return true }, func(ctx context.Context) *Error {
		// Others may have found out between the recall and the join.
		if _, known := s.recall(token); known {
			return nil
		}
		s.remember(token, s.askAbout(ctx, token))
		return nil
	})
	v, _ := s.recall(token)
	return v
}

// askAbout lets the token look at itself.
func (s *session) askAbout(ctx context.Context, token string) verdict {
	a, problem := s.lookUp(ctx, token)
	switch {
	case problem != nil:
		return tokenUnsure
	case a.status == 200, a.status == 403 && a.denies():
		return tokenAlive
	case a.status == 403 && a.Errors != nil:
		return tokenDead
	}
	return tokenUnsure
}

func (s *session) recall(token string) (verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused.token != token || time.Since(s.refused.at) > lookupInterval {
		return tokenUnsure, false
	}
	return s.refused.verdict, true
}

func (s *session) remember(token string, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.refused = refused{token, now, v}
	if s.lease.token != token || s.home.cfg.Agent {
		return
	}
	if v == tokenAlive {
		s.taken.Store(true)
	}
	if v == tokenDead && !s.lease.dead {
		s.lease.dead = true
		if s.taken.Load() {
			s.unfit, s.notBefore = backoff{}, time.Time{}
		} else {
			s.notBefore = now.Add(s.unfit.next())
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// denies says that a 403 comes from the policies of a token that is good. A
// token that is not gets another text, in Vault and in OpenBao.
func (a *answer) denies() bool {
	return a.errorSays("1 error occurred") && a.errorSays("permission denied") && !a.errorSays("invalid token")
}

// forbidden explains a 403.
func (v *Vault) forbidden(ctx context.Context, a *answer) *Error {
	if a.Errors == nil {
		return v.notVault(a)
	}
	switch v.session.judge(ctx, v.session.current(), a) {
	case tokenAlive:
		return v.notGranted(ctx, a)
	case tokenDead:
		return v.deadToken()
	case tokenUnsure:
	}
	return v.unexplained()
}

// notGranted explains a 403 to a token that is good. The paths of the two versions
// of the KV engine differ, and so do their policies: a mount that is of the other
// version looks like a line that is missing.
func (v *Vault) notGranted(ctx context.Context, a *answer) *Error {
	if !v.mount.asked.Load() {
		v.askMount(ctx)
	}
	pattern, capabilities := v.layout.grant(a.method, a.path)
	is, other := v.otherVersion()
	switch {
	case other:
		return v.wrongVersion(403)
	case is == v.cfg.KV:
		return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover this in mount %q; add to one of them: path %q { capabilities = [%s] }",
			v.cfg.Mount, pattern, capabilities)
	case v.guest:
		return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover mount %q (or there is no such mount, or it is not KV %s); add to one of them: path %q { capabilities = [%s] }",
			v.cfg.Mount, v.cfg.KV, pattern, capabilities)
	}
	return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover mount %q (or there is no such mount); if it is KV %s, add to one of them: path %q { capabilities = [%s] }; if it is KV %s, set kv: %s",
		v.cfg.Mount, v.cfg.KV, pattern, capabilities, v.cfg.theOtherKV(), v.cfg.theOtherKV())
}

// deadToken explains that the server does not take our token.
func (v *Vault) deadToken() *Error {
	s := v.session
	s.mu.Lock()
	failed, limited := s.failed, s.lease.limited
	s.mu.Unlock()
	switch {
	case v.cfg.Agent:
		return fail(StateTokenRejected, 403, "the server does not take the Vault token that the agent at %s adds, or the agent adds none; see the log of the agent, and set use_auto_auth_token in its api_proxy", v.cfg.Address)
	case s.login != nil && failed != nil:
		return fail(StateTokenRejected, 403, "the server does not take the Vault token any more, and there is no new one: %s", failed.detail)
	case s.login != nil && !s.taken.Load():
		return fail(StateTokenRejected, 403, "the server does not take the Vault tokens that the login gives; if the role binds them to other addresses than ours (token_bound_cidrs), correct that")
	case s.login != nil:
		return fail(StateTokenRejected, 403, "the server does not take the Vault token that the login gave: it has expired or was revoked; a new login follows")
	}
	why, another := "it has expired, was revoked, is of another namespace, is bound to other addresses, or had a use limit", "a new one"
	if limited {
		why, another = "it had a use limit (num_uses) and is used up, or has expired or was revoked", "one without a use limit"
	}
	if v.cfg.TokenFile != "" {
		return fail(StateTokenRejected, 403, "the server does not take the Vault token in %q: %s; put %s there", v.cfg.TokenFile, why, another)
	}
	return fail(StateTokenRejected, 403, "the server does not take the Vault token: %s; configure %s", why, another)
}

// unexplained is for when nobody can say more; what is known of the state stays.
func (v *Vault) unexplained() *Error {
	s := v.State()
	if s != StateForbidden && s != StateTokenRejected {
		s = StateFailing
	}
	return fail(s, 403, "the server refuses our Vault token for this (403)")
}

// grant is what a policy needs for a request: the pattern for its path, and the
// capabilities as they are written. The patterns are those of deploy/vault: the
// capabilities of one pattern add up, but of two patterns that match a path only
// one counts ("+" before "*"), so that another pattern may take away what is there.
func (l layout) grant(method, path string) (pattern, capabilities string) {
	capabilities = map[string]string{
		http.MethodPut: `"create", "update"`, http.MethodPost: `"create", "update"`,
		http.MethodDelete: `"delete"`, methodList: `"list"`,
	}[method]
	if capabilities == "" {
		capabilities = `"read"`
	}
	if method == methodList && path == l.list && !l.deep {
		return path + "/", capabilities
	}
	below := l.data
	if path != "" && !strings.HasPrefix(path, l.data) || method == methodList {
		below = l.metadata
	}
	if l.deep || method == methodList || strings.Contains(strings.TrimPrefix(path, below), "/") {
		return below + "*", capabilities
	}
	return below + "+", capabilities
}

// methodList stands for a GET that lists.
const methodList = "LIST"
