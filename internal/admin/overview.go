package admin

import (
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// overview tells what this replica knows of itself. It asks no store, so it also answers
// while none does.
func (a *API) overview(c *call) (reply, error) {
	o := a.deps.Overview()
	o.Replica, o.Version, o.Now = a.deps.Replica, a.deps.Version, time.Now().Unix()
	o.Caller = api.Caller{Name: c.caller.Name, Role: string(c.caller.Role)}
	if view, err := a.deps.Store.View(); err == nil {
		o.Counts = a.counts(view)
	}
	return ok(o), nil
}

// counts counts the entities of a view and of the configuration file.
func (a *API) counts(view *state.View) *api.EntityCounts {
	count := func(e *entity) int {
		n := view.Len(e.kind)
		for _, d := range a.declaredOf(e.kind) {
			if !view.Has(e.kind, d.ID()) {
				n++
			}
		}
		return n
	}
	n := &api.EntityCounts{Consumers: count(a.consumers), ACLs: count(a.acls), Policies: count(a.policies), Vaults: count(a.vaults)}
	for _, k := range a.aclPlugins.unique(nil) {
		// The acl plugin has a record among those of policies.
		if _, err := view.ByUnique(a.aclPlugins.kind, k.key); err == nil {
			n.Policies--
		}
	}
	return n
}
