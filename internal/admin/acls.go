package admin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/state"
)

// acls are memberships of consumers in groups. Their key, the group, is unique
// for a consumer only.
func aclsEntity() *entity {
	return &entity{
		kind: state.KindACLs, name: "acls",
		fields: schema.ACL,
		unique: func(d schema.Document) []constraint {
			consumer, group := d.Record("consumer").Text("id"), d.Text("group")
			return []constraint{{
				key:    entities.ACLKey(consumer, group),
				fields: map[string]any{"consumer": map[string]any{"id": consumer}, "group": group},
			}}
		},
		check: checkACL,
	}
}

// checkMembership checks what does not depend on whether there is the consumer.
func checkMembership(d schema.Document, v schema.Violations) {
	c := authz.Consumer{ID: entities.DeclaredID("", ""), Username: "any", Groups: []string{d.Text("group")}}
	if d["group"] != nil {
		v.AddErrors(c.Validate(), func(string) string { return "group" })
	}
}

func checkACL(a *API, d, _ schema.Document, v schema.Violations) error {
	checkMembership(d, v)
	consumer, err := a.resolve(d, "consumer", a.consumers)
	if err == nil && consumer.Declared {
		v.Add("consumer", "is declared in the configuration file, and so are its groups; change the file")
	}
	return err
}

// consumerOf finds the consumer of the path.
func (a *API) consumerOf(c *call) (schema.Stored, error) {
	return a.find(a.consumers, c.param("consumer"))
}

// findACL finds a membership of the path's consumer, by id or group. It does not find
// those of other consumers.
func (a *API) findACL(c *call, consumer schema.Stored) (schema.Stored, error) {
	idOrGroup := c.param("acl")
	if !authz.IsUUID(idOrGroup) {
		return a.findUnique(a.acls, entities.ACLKey(consumer.ID(), idOrGroup))
	}
	s, err := a.findID(a.acls, idOrGroup)
	if err == nil && s.Record("consumer").Text("id") != consumer.ID() {
		return schema.Stored{}, authz.ErrNotFound
	}
	return s, err
}

func (a *API) listConsumerACLs(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	groups, err := a.aclsOf(consumer.ID())
	if err != nil {
		return reply{}, err
	}
	return c.pageOf(a.acls.showAll(groups))
}

// aclsOf returns the groups of a consumer in the order of their ids.
func (a *API) aclsOf(consumer string) ([]schema.Stored, error) {
	view, err := a.deps.Store.View()
	if err != nil {
		return nil, err
	}
	var all []schema.Stored
	for _, s := range a.declaredOf(a.acls.kind) {
		if s.Record("consumer").Text("id") == consumer {
			all = append(all, s)
		}
	}
	view.WithPrefix(a.acls.kind, entities.ACLKey(consumer, ""), func(_ string, record func() *state.Record) bool {
		var s schema.Stored
		if s, err = a.acls.open(record()); err == nil {
			all = append(all, s)
		}
		return err == nil
	})
	slices.SortFunc(all, func(x, y schema.Stored) int { return cmp.Compare(x.ID(), y.ID()) })
	return all, err
}

// ofConsumer is the body with the path's consumer in it.
func (c *call) ofConsumer(consumer schema.Stored) schema.Input {
	return c.input.With("consumer", map[string]any{"id": consumer.ID()})
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
	return ok(a.acls.show(s.Document)), nil
}

func (a *API) patchConsumerACL(c *call) (reply, error) {
	consumer, err := a.consumerOf(c)
	if err != nil {
		return reply{}, err
	}
	find := func() (schema.Stored, error) { return a.findACL(c, consumer) }
	d, err := a.update(c, a.acls, find, func(old schema.Document) (schema.Document, error) {
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
		in = in.With("group", c.param("acl"))
	}
	find := func() (schema.Stored, error) { return a.findACL(c, consumer) }
	return a.upsert(c, a.acls, find, func() (schema.Document, error) {
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
	return noContent, a.remove(c, a.acls, c.param("acl"), func() (schema.Stored, error) { return a.findACL(c, consumer) })
}

// aclConsumer is the consumer of an entry.
func (a *API) aclConsumer(c *call) (reply, error) {
	s, err := a.findID(a.acls, c.param("id"))
	if err != nil {
		return reply{}, err
	}
	consumer, err := a.findID(a.consumers, s.Record("consumer").Text("id"))
	if err != nil {
		return reply{}, err
	}
	return ok(a.consumers.show(consumer.Document)), nil
}
