package vaultkv

import (
	"context"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// forbidden explains a 403.
func (v *Vault) forbidden(ctx context.Context, a *answer) *Error {
	if a.Errors == nil {
		return v.notVault(a)
	}
	switch v.session.Judge(ctx, &a.Answer) {
	case login.Valid:
		return v.notGranted(ctx, a)
	case login.Invalid:
		return problemOf(v.session.Rejection())
	case login.Unknown:
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
