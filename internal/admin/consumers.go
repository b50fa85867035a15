package admin

import (
	"errors"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/state"
)

func consumersEntity() *entity {
	return &entity{
		kind: state.KindConsumers, name: "consumers", key: "username",
		fields: schema.Consumer,
		unique: func(d schema.Document) []constraint { return uniqueTexts(d, "username", "custom_id") },
		check:  checkConsumer,
		usedBy: isAnonymous,
	}
}

// uniqueTexts makes each field that is set unique on its own.
func uniqueTexts(d schema.Document, names ...string) []constraint {
	var all []constraint
	for _, name := range names {
		if value := d.Text(name); value != "" {
			all = append(all, constraint{key: name + "=" + value, fields: map[string]any{name: value}})
		}
	}
	return all
}

func same(name string) string { return name }

func checkConsumer(_ *API, d, _ schema.Document, v schema.Violations) error {
	if d["username"] == nil && d["custom_id"] == nil {
		v.Add(schema.EntityField, "at least one of these fields must be non-empty: 'custom_id', 'username'")
		return nil
	}
	// These become header values, which the core has rules for.
	c := authz.Consumer{ID: entities.DeclaredID("", ""), Username: d.Text("username"), CustomID: d.Text("custom_id")}
	v.AddErrors(c.Validate(), same)
	return nil
}

// isAnonymous says whether a policy falls back on a consumer. Kong deletes such a consumer,
// and answers 500 from then on.
func isAnonymous(d, policy schema.Document) bool {
	who := policy.Text("anonymous")
	return who != "" && (who == d.Text("id") || who == d.Text("username"))
}

// listConsumers adds the filter by custom id, and the search.
func (a *API) listConsumers(c *call) (reply, error) {
	q := c.r.URL.Query()
	text := q.Get("search")
	switch {
	case text != "" && q.Has("custom_id"):
		return reply{}, badRequest("give custom_id or search, not both: a search finds custom ids, too")
	case text != "":
		keep, err := a.search(text)
		if err != nil {
			return reply{}, err
		}
		return c.page(a, a.consumers, keep)
	case !q.Has("custom_id"):
		return a.list(a.consumers)(c)
	}
	customID := q.Get("custom_id")
	if customID == "" {
		return reply{}, badRequest("custom_id must be an unempty string")
	}
	data := []schema.Document{}
	s, err := a.findUnique(a.consumers, "custom_id="+customID)
	switch {
	case err == nil:
		data = append(data, a.consumers.show(s.Document))
	case !errors.Is(err, authz.ErrNotFound):
		return reply{}, err
	}
	return c.list(data, ""), nil
}

// deleteConsumer deletes the consumer and then its groups: a consumer without groups
// might pass a deny list. Repeated, it completes a deletion that was interrupted.
func (a *API) deleteConsumer(c *call) (reply, error) {
	id := c.param("id")
	s, err := a.find(a.consumers, id)
	switch {
	case err == nil:
		id = s.ID()
	case !errors.Is(err, authz.ErrNotFound):
		return reply{}, err
	}
	if err := a.remove(c, a.consumers, c.param("id"), func() (schema.Stored, error) { return s, err }); err != nil {
		return reply{}, err
	}
	if !authz.IsUUID(id) {
		return noContent, a.removeOrphans(c)
	}
	groups, err := a.aclsOf(id)
	if err != nil {
		return reply{}, err
	}
	return noContent, a.removeACLs(c, groups)
}

// removeOrphans removes the groups of deleted consumers. It scans the keys of all groups
// and reads only the records that it removes.
func (a *API) removeOrphans(c *call) error {
	view, err := a.deps.Store.View()
	if err != nil {
		return err
	}
	last, gone := "", false
	orphans, err := a.storedACLs(view, entities.ACLPrefix, func(key string) bool {
		if id := entities.ConsumerOfKey(key); id != last {
			last, gone = id, !view.Has(a.consumers.kind, id) && !a.isDeclared(a.consumers.kind, id)
		}
		return gone
	})
	if err != nil {
		return err
	}
	return a.removeACLs(c, orphans)
}

func (a *API) removeACLs(c *call, doomed []schema.Stored) error {
	for _, s := range doomed {
		if s.Declared {
			continue
		}
		if err := a.remove(c, a.acls, s.ID(), func() (schema.Stored, error) { return s, nil }); err != nil {
			return err
		}
	}
	return nil
}
