package admin

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/state"
)

// named sets the id or key of the path in a document.
func named(d document, idOrKey, key string) error {
	if !authz.IsUUID(idOrKey) {
		d[key] = idOrKey
		return nil
	}
	if id := d.text("id"); id != "" && id != idOrKey {
		return violations{"id": "must be the id in the path"}.err()
	}
	d["id"] = idOrKey
	return nil
}

// typedInput reads the body under the schema. base is what a partial change
// starts from, nil for a whole document.
func (e *entity) typedInput(in input, base document) (document, error) {
	if base != nil {
		base = maps.Clone(base)
		for _, f := range e.fields {
			if f.Secret && base[f.Name] != nil {
				// So that a check can tell whether it was given again.
				base[f.Name] = redact.Text
			}
		}
	}
	v := violations{}
	d := typed(e.fields, in.values, in.form, base, v, "")
	return d, v.err()
}

func (a *API) get(e *entity) handler {
	return func(c *call) (reply, error) {
		s, err := a.find(e, c.param("id"))
		if err != nil {
			return reply{}, err
		}
		return ok(e.show(s.document)), nil
	}
}

func (a *API) list(e *entity) handler {
	return func(c *call) (reply, error) {
		return c.page(a, e, everything)
	}
}

func (a *API) create(e *entity) handler {
	return func(c *call) (reply, error) {
		d, err := e.typedInput(c.input, nil)
		if err != nil {
			return reply{}, err
		}
		d, err = a.insert(c, e, d)
		return reply{http.StatusCreated, e.show(d)}, err
	}
}

func (a *API) patch(e *entity) handler {
	return func(c *call) (reply, error) {
		find := func() (stored, error) { return a.find(e, c.param("id")) }
		d, err := a.update(c, e, find, func(old document) (document, error) { return e.typedInput(c.input, old) })
		return ok(e.show(d)), err
	}
}

// put replaces, or creates under the id or key of the path; both are 200.
func (a *API) put(e *entity) handler {
	return func(c *call) (reply, error) {
		in := input{values: maps.Clone(c.input.values), form: c.input.form}
		if idOrKey := c.param("id"); !authz.IsUUID(idOrKey) {
			in.values[e.key] = idOrKey
		}
		find := func() (stored, error) { return a.find(e, c.param("id")) }
		return a.upsert(c, e, find, func() (document, error) {
			d, err := e.typedInput(in, nil)
			if err != nil {
				return nil, err
			}
			return d, named(d, c.param("id"), e.key)
		})
	}
}

func (a *API) upsert(c *call, e *entity, find func() (stored, error), make func() (document, error)) (reply, error) {
	d, err := a.update(c, e, find, func(old document) (document, error) {
		d, err := make()
		if err == nil && d["id"] != nil && !authz.IsUUID(c.param("id")) && d["id"] != old["id"] {
			return nil, violations{"id": "is not that of the entity which the path names"}.err()
		}
		for _, name := range e.stay {
			if _, given := c.input.values[name]; err == nil && !given {
				d[name] = old[name]
			}
		}
		return d, err
	})
	if errors.Is(err, authz.ErrNotFound) {
		if d, err = make(); err == nil {
			d, err = a.insert(c, e, d)
		}
	}
	return ok(e.show(d)), err
}

func (a *API) delete(e *entity) handler {
	return func(c *call) (reply, error) {
		return noContent, a.remove(c, e, c.param("id"), func() (stored, error) { return a.find(e, c.param("id")) })
	}
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
	data := []document{}
	s, err := a.findUnique(a.consumers, "custom_id="+customID)
	switch {
	case err == nil:
		data = append(data, a.consumers.show(s.document))
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
		id = s.id()
	case !errors.Is(err, authz.ErrNotFound):
		return reply{}, err
	}
	if err := a.remove(c, a.consumers, c.param("id"), func() (stored, error) { return s, err }); err != nil {
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
	var orphans []stored
	last, gone := "", false
	view.WithPrefix(a.acls.kind, aclPrefix, func(key string, record func() *state.Record) bool {
		if id := consumerOfKey(key); id != last {
			last, gone = id, !view.Has(a.consumers.kind, id) && !a.isDeclared(a.consumers.kind, id)
		}
		if !gone {
			return true
		}
		var s stored
		if s, err = a.acls.open(record()); err == nil {
			orphans = append(orphans, s)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return a.removeACLs(c, orphans)
}

func (a *API) removeACLs(c *call, doomed []stored) error {
	for _, s := range doomed {
		if s.declared {
			continue
		}
		if err := a.remove(c, a.acls, s.id(), func() (stored, error) { return s, nil }); err != nil {
			return err
		}
	}
	return nil
}

// consumerOf finds the consumer of the path.
func (a *API) consumerOf(c *call) (stored, error) {
	return a.find(a.consumers, c.param("consumer"))
}

// findACL finds a membership of the path's consumer, by id or group. It does not find
// those of other consumers.
func (a *API) findACL(c *call, consumer stored) (stored, error) {
	idOrGroup := c.param("acl")
	if !authz.IsUUID(idOrGroup) {
		return a.findUnique(a.acls, aclKey(consumer.id(), idOrGroup))
	}
	s, err := a.findID(a.acls, idOrGroup)
	if err == nil && s.record("consumer").text("id") != consumer.id() {
		return stored{}, authz.ErrNotFound
	}
	return s, err
}

func (a *API) listConsumerACLs(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	groups, err := a.aclsOf(consumer.id())
	if err != nil {
		return reply{}, err
	}
	return c.pageOf(a.acls.showAll(groups))
}

// aclsOf returns the groups of a consumer in the order of their ids.
func (a *API) aclsOf(consumer string) ([]stored, error) {
	view, err := a.deps.Store.View()
	if err != nil {
		return nil, err
	}
	var all []stored
	for _, s := range a.declaredOf(a.acls.kind) {
		if s.record("consumer").text("id") == consumer {
			all = append(all, s)
		}
	}
	view.WithPrefix(a.acls.kind, aclKey(consumer, ""), func(_ string, record func() *state.Record) bool {
		var s stored
		if s, err = a.acls.open(record()); err == nil {
			all = append(all, s)
		}
		return err == nil
	})
	slices.SortFunc(all, func(x, y stored) int { return cmp.Compare(x.id(), y.id()) })
	return all, err
}

// ofConsumer is the body with the path's consumer in it.
func (c *call) ofConsumer(consumer stored) input {
	values := maps.Clone(c.input.values)
	values["consumer"] = map[string]any{"id": consumer.id()}
	return input{values: values, form: c.input.form}
}

func (a *API) createConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	d, err := a.acls.typedInput(c.ofConsumer(consumer), nil)
	if err != nil {
		return reply{}, err
	}
	d, err = a.insert(c, a.acls, d)
	return reply{http.StatusCreated, a.acls.show(d)}, err
}

func (a *API) getConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	s, err := a.findACL(c, consumer)
	if err != nil {
		return reply{}, err
	}
	return ok(a.acls.show(s.document)), nil
}

func (a *API) patchConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	find := func() (stored, error) { return a.findACL(c, consumer) }
	d, err := a.update(c, a.acls, find, func(old document) (document, error) {
		return a.acls.typedInput(c.ofConsumer(consumer), old)
	})
	return ok(a.acls.show(d)), err
}

func (a *API) putConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	in := c.ofConsumer(consumer)
	if !authz.IsUUID(c.param("acl")) {
		in.values["group"] = c.param("acl")
	}
	find := func() (stored, error) { return a.findACL(c, consumer) }
	return a.upsert(c, a.acls, find, func() (document, error) {
		d, err := a.acls.typedInput(in, nil)
		if err != nil {
			return nil, err
		}
		return d, named(d, c.param("acl"), "group")
	})
}

func (a *API) deleteConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	return noContent, a.remove(c, a.acls, c.param("acl"), func() (stored, error) { return a.findACL(c, consumer) })
}

// aclConsumer is the consumer of an entry.
func (a *API) aclConsumer(c *call) (reply, error) {
	s, err := a.findID(a.acls, c.param("id"))
	if err != nil {
		return reply{}, err
	}
	consumer, err := a.findID(a.consumers, s.record("consumer").text("id"))
	if err != nil {
		return reply{}, err
	}
	return ok(a.consumers.show(consumer.document)), nil
}

func (a *API) openAPI(*call) (reply, error) {
	return ok(file{"application/yaml", a.document}), nil
}
