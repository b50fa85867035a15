package admin

import (
	"errors"
	"maps"
	"net/http"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/redact"
)

// named sets the id or key of the path in a document.
func named(d schema.Document, idOrKey, key string) error {
	if !authz.IsUUID(idOrKey) {
		d[key] = idOrKey
		return nil
	}
	if id := d.Text("id"); id != "" && id != idOrKey {
		return schema.Violations{"id": "must be the id in the path"}.Err()
	}
	d["id"] = idOrKey
	return nil
}

// typedInput reads the body under the schema. base is what a partial change
// starts from, nil for a whole document.
func (e *entity) typedInput(in schema.Input, base schema.Document) (schema.Document, error) {
	if base != nil {
		base = maps.Clone(base)
		for _, f := range e.fields {
			if f.Secret && base[f.Name] != nil {
				// So that a check can tell whether it was given again.
				base[f.Name] = redact.Text
			}
		}
	}
	v := schema.Violations{}
	d := schema.Typed(e.fields, in, base, v)
	return d, v.Err()
}

// A target is what the path of a call names: one entity of a kind.
type target struct {
	*entity
	// idOrKey is from the path; key is the field that it is, unless it is an id.
	idOrKey, key string
	// in is the body with what the path says besides.
	in   schema.Input
	find func() (schema.Stored, error)
}

// A lookup reads the path of a call.
type lookup func(*call) (target, error)

// one is the lookup by the id or key of an entity.
func (a *API) one(e *entity) lookup {
	return func(c *call) (target, error) {
		idOrKey := c.param("id")
		return target{e, idOrKey, e.key, c.input, func() (schema.Stored, error) { return a.find(e, idOrKey) }}, nil
	}
}

// forTarget handles a call for what its path names.
func forTarget(of lookup, handle func(*call, target) (reply, error)) handler {
	return func(c *call) (reply, error) {
		t, err := of(c)
		if err != nil {
			return reply{}, err
		}
		return handle(c, t)
	}
}

func (a *API) list(e *entity) handler {
	return func(c *call) (reply, error) { return c.page(a, e, everything) }
}

func (a *API) get(_ *call, t target) (reply, error) {
	s, err := t.find()
	if err != nil {
		return reply{}, err
	}
	return ok(t.show(s.Document)), nil
}

func (a *API) create(c *call, t target) (reply, error) {
	d, err := t.typedInput(t.in, nil)
	if err != nil {
		return reply{}, err
	}
	d, err = a.insert(c, t.entity, d)
	return reply{http.StatusCreated, t.show(d)}, err
}

func (a *API) patch(c *call, t target) (reply, error) {
	d, err := a.update(c, t.entity, t.find, func(old schema.Document) (schema.Document, error) { return t.typedInput(t.in, old) })
	return ok(t.show(d)), err
}

// put replaces, or creates under the id or key of the path; both are 200.
func (a *API) put(c *call, t target) (reply, error) {
	if !authz.IsUUID(t.idOrKey) {
		t.in = t.in.With(t.key, t.idOrKey)
	}
	whole := func() (schema.Document, error) {
		d, err := t.typedInput(t.in, nil)
		if err != nil {
			return nil, err
		}
		return d, named(d, t.idOrKey, t.key)
	}
	d, err := a.update(c, t.entity, t.find, func(old schema.Document) (schema.Document, error) {
		d, err := whole()
		if err != nil {
			return nil, err
		}
		if d["id"] != nil && !authz.IsUUID(t.idOrKey) && d["id"] != old["id"] {
			return nil, schema.Violations{"id": "is not that of the entity which the path names"}.Err()
		}
		for _, name := range t.stay {
			if _, given := t.in.Values[name]; !given {
				d[name] = old[name]
			}
		}
		return d, nil
	})
	if errors.Is(err, authz.ErrNotFound) {
		if d, err = whole(); err == nil {
			d, err = a.insert(c, t.entity, d)
		}
	}
	return ok(t.show(d)), err
}

func (a *API) delete(c *call, t target) (reply, error) {
	return noContent, a.remove(c, t.entity, t.idOrKey, t.find)
}
