package vaultkv

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/kvpath"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A mountInfo is what the server has said about a mount. The zero value is nothing.
//
// The answer to a read does not tell as much: a KV v1 mount answers a v2 read with a
// plain "not found", and a policy for the other version looks like a missing line.
type mountInfo struct {
	// said is [KV1], [KV2] or the type of another engine; empty if the server does not say
	// what the mount is although it lets the token read there; nil until then. It is one
	// value: a read must not find that the server has answered, but not yet what.
	said atomic.Pointer[string]
	// silent is set if there was an answer that says nothing about the mount, such as that the
	// token was not allowed to ask.
	silent atomic.Bool
}

// engine returns [KV1], [KV2] or the type of another engine, empty if that is not known.
// said is false if the server may still say what the mount is.
func (m *mountInfo) engine() (is string, said bool) {
	if kind := m.said.Load(); kind != nil {
		return *kind, true
	}
	return "", false
}

// asked reports whether the server has answered, even if that says nothing about the mount.
func (m *mountInfo) asked() bool { return m.said.Load() != nil || m.silent.Load() }

// forget is for a mount that is gone. The next one at its path may be of another version.
func (m *mountInfo) forget() {
	m.said.Store(nil)
	m.silent.Store(false)
}

// askMount asks what the mount is. The server tells every token that has any capability
// in the mount; reads is set if the token has just been allowed to read there. Without an
// answer nothing changes, and the server can be asked again.
func (v *Vault) askMount(ctx context.Context, reads bool) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	a, problem := v.exchangeInTime(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithContext(ctx, "sys/internal/ui/mounts/"+v.cfg.Mount)
	})
	if problem != nil || a.Status >= 500 || a.Status == 429 || a.Status == 412 {
		return
	}
	if kind := mountKind(a); kind != "" {
		v.mount.said.Store(&kind)
		return
	}
	// A token that is not accepted, or may do nothing there, is told nothing. Before a read was
	// allowed, the answer may even come from something in front of the server.
	if !reads || a.Status == 403 && a.Errors != nil && v.session.Judge(ctx, &a.Answer) != login.Valid {
		v.mount.silent.Store(true)
		return
	}
	v.mount.said.CompareAndSwap(nil, new(""))
}

// mountKind returns what an answer says about a mount, empty if it says nothing.
func mountKind(a *answer) string {
	var mount struct {
		Type    string
		Options struct{ Version string }
	}
	switch {
	case a.Status != 200, json.Unmarshal(a.Data, &mount) != nil, !kvpath.IsSegment(mount.Type):
		return ""
	case mount.Type != "kv" && mount.Type != "generic":
		return mount.Type
	case mount.Options.Version == "2":
		return KV2
	}
	return KV1
}

func (c *Config) theOtherKV() string {
	if c.KV == KV2 {
		return KV1
	}
	return KV2
}

// wrongVersion explains that the mount is of the other KV version.
func (v *Vault) wrongVersion(status int) *Error {
	is := v.cfg.theOtherKV()
	if v.shared {
		return fail(StateWrongVersion, status, "mount %q is KV %s, and the state needs KV %s; enable a KV %s engine for it alone, and set state.mount to its path", v.cfg.Mount, is, v.cfg.KV, v.cfg.KV)
	}
	return fail(StateWrongVersion, status, "mount %q is KV %s, and the configuration says %s; set kv: %s", v.cfg.Mount, is, v.cfg.KV, is)
}

// noSuchPath explains that the engine at the mount lacks the paths of a KV engine.
func (v *Vault) noSuchPath(a *answer) *Error {
	is, _ := v.mount.engine()
	switch {
	case is == v.cfg.theOtherKV():
		return v.wrongVersion(a.Status)
	case is != "" && is != v.cfg.KV:
		return fail(StateNoMount, a.Status, "the engine at mount %q is of the type %q, not kv; correct mount", v.cfg.Mount, is)
	}
	return fail(StateFailing, a.Status, "the server answers %d with an error; see its log, and check that there is a KV engine at mount %q", a.Status, v.cfg.Mount)
}
