package vaultkv

import (
	"context"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// forbidden explains a 403, which is about our token and never about the client's.
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

// notGranted explains a 403 for a valid token. The two versions of the KV engine have
// different paths and so need different policies: a mount of the other version looks like
// a missing line in a policy.
func (v *Vault) notGranted(ctx context.Context, a *answer) *Error {
	if !v.mount.asked() {
		v.askMount(ctx, false)
	}
	pattern, capabilities := v.layout.grant(a.method, a.path)
	file := v.layout.policyFile(a.method, a.path)
	is, _ := v.mount.engine()
	switch {
	case is == v.cfg.theOtherKV():
		return v.wrongVersion(403)
	case is == v.cfg.KV:
		return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover this in mount %q; add to one of them: path %q { capabilities = [%s] }, and what else of %s is missing",
			v.cfg.Mount, pattern, capabilities, file)
	case v.shared:
		return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover mount %q (or there is no such mount, or it is not KV %s); add to one of them: path %q { capabilities = [%s] }, and what else of %s is missing",
			v.cfg.Mount, v.cfg.KV, pattern, capabilities, file)
	}
	return fail(StateForbidden, 403, "the Vault token is good, but its policies do not cover mount %q (or there is no such mount); if it is KV %s, add to one of them: path %q { capabilities = [%s] }, and what else of %s is missing; if it is KV %s, set kv: %s",
		v.cfg.Mount, v.cfg.KV, pattern, capabilities, file, v.cfg.theOtherKV(), v.cfg.theOtherKV())
}

// unexplained is the error of a 403 without a known reason. It keeps a state that explains
// a 403.
func (v *Vault) unexplained() *Error {
	s := v.State()
	if s != StateForbidden && s != StateTokenRejected {
		s = StateFailing
	}
	return fail(s, 403, "the server refuses our Vault token for this (403)")
}

// grant returns what a policy needs for a request: the pattern of the path, and the
// capabilities in the syntax of policies. The patterns are those of deploy/vault, because
// the capabilities of equal patterns add up, whereas of two different patterns that match
// a path only one counts ("+" before "*"): a new pattern could take capabilities away.
func (l layout) grant(method, path string) (pattern, capabilities string) {
	capabilities = map[string]string{
		http.MethodPut: `"create", "update"`, http.MethodPost: `"create", "update"`,
		http.MethodDelete: `"delete"`, methodList: `"list"`,
	}[method]
	if capabilities == "" {
		capabilities = `"read"`
	}
	if l.v2 && strings.HasPrefix(path, l.destroy) {
		return l.destroy + "+", `"update"`
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

// policyFile returns the file with all that the token needs for requests like this one, where
// one line may not be the only one that is missing.
func (l layout) policyFile(method, path string) string {
	name := "kv-v1.hcl"
	if l.v2 {
		name = "kv-v2.hcl"
	}
	switch {
	case l.deep:
		name = "state.hcl"
	case l.v2 && (strings.HasPrefix(path, l.destroy) || method == http.MethodGet && strings.HasPrefix(path, l.metadata)):
		name = "destroy-v2.hcl"
	case method == http.MethodPut || method == http.MethodPost || method == http.MethodDelete:
		name = strings.Replace(name, "kv", "manage", 1)
	}
	return "deploy/vault/" + name
}

// methodList stands for a GET with list=true.
const methodList = "LIST"
