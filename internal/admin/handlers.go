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

func (a *API) get(e *entity) handler {
	return func(c *call) (reply, error) {
		s, err := a.find(e, c.param("id"))
		if err != nil {
			return reply{}, err
		}
		return ok(e.show(s.Document)), nil
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
		find := func() (schema.Stored, error) { return a.find(e, c.param("id")) }
		d, err := a.update(c, e, find, func(old schema.Document) (schema.Document, error) { return e.typedInput(c.input, old) })
		return ok(e.show(d)), err
	}
}

// put replaces, or creates under the id or key of the path; both are 200.
func (a *API) put(e *entity) handler {
	return func(c *call) (reply, error) {
		in := c.input
		if idOrKey := c.param("id"); !authz.IsUUID(idOrKey) {
			in = in.With(e.key, idOrKey)
		}
		find := func() (schema.Stored, error) { return a.find(e, c.param("id")) }
		return a.upsert(c, e, find, func() (schema.Document, error) {
			d, err := e.typedInput(in, nil)
			if err != nil {
				return nil, err
			}
			return d, named(d, c.param("id"), e.key)
		})
	}
}

func (a *API) upsert(c *call, e *entity, find func() (schema.Stored, error), make func() (schema.Document, error)) (reply, error) {
	d, err := a.update(c, e, find, func(old schema.Document) (schema.Document, error) {
		d, err := make()
		if err == nil && d["id"] != nil && !authz.IsUUID(c.param("id")) && d["id"] != old["id"] {
			return nil, schema.Violations{"id": "is not that of the entity which the path names"}.Err()
		}
		for _, name := range e.stay {
			if _, given := c.input.Values[name]; err == nil && !given {
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
		return noContent, a.remove(c, e, c.param("id"), func() (schema.Stored, error) { return a.find(e, c.param("id")) })
	}
}
