package vaultkv

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// A mountInfo is what the server has said about a mount. The zero value is nothing.
//
// The answer to a read does not tell as much: a KV v1 mount answers a v2 read with a
// plain "not found", and a policy for the other version looks like a missing line.
type mountInfo struct {
	// asked is set once the server has said what the mount is, or has refused to.
	asked atomic.Bool
	kind  atomic.Pointer[string]
}

// engine returns [KV1], [KV2] or the type of another engine. It is empty if the server has
// not said what the mount is.
func (m *mountInfo) engine() string {
	if kind := m.kind.Load(); kind != nil {
		return *kind
	}
	return ""
}

// askMount asks what the mount is. The server tells every token that has any capability
// in the mount. Without an answer nothing changes, and the server can be asked again.
func (v *Vault) askMount(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if v.session.Ready(ctx) != nil {
		return
	}
	a, problem := v.ask(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithContext(ctx, "sys/internal/ui/mounts/"+v.cfg.Mount)
	})
	if problem != nil || a.Status >= 500 || a.Status == 429 || a.Status == 412 {
		return
	}
	v.mount.asked.Store(true)
	if a.Status != 200 {
		return
	}
	var mount struct {
		Type    string
		Options struct{ Version string }
	}
	if json.Unmarshal(a.Data, &mount) != nil || !kvpath.IsSegment(mount.Type) {
		return
	}
	kind := mount.Type
	if kind == "kv" || kind == "generic" {
		kind = KV1
		if mount.Options.Version == "2" {
			kind = KV2
		}
	}
	v.mount.kind.Store(&kind)
}

// otherVersion returns the engine at the mount, and whether that is the KV version that
// is not configured.
func (v *Vault) otherVersion() (is string, other bool) {
	is = v.mount.engine()
	return is, is == v.cfg.theOtherKV()
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
	is, other := v.otherVersion()
	switch {
	case other:
		return v.wrongVersion(a.Status)
	case is != "" && is != v.cfg.KV:
		return fail(StateNoMount, a.Status, "the engine at mount %q is of the type %q, not kv; correct mount", v.cfg.Mount, is)
	}
	return fail(StateFailing, a.Status, "the server answers %d with an error; see its log, and check that there is a KV engine at mount %q", a.Status, v.cfg.Mount)
}
