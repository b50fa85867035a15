package admin

import (
	"cmp"
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
func checkMembership(_ *API, d, _ schema.Document, v schema.Violations) error {
	c := authz.Consumer{ID: entities.DeclaredID("", ""), Username: "any", Groups: []string{d.Text("group")}}
	if d["group"] != nil {
		v.AddErrors(c.Validate(), func(string) string { return "group" })
	}
	return nil
}

func checkACL(a *API, d, _ schema.Document, v schema.Violations) error {
	_ = checkMembership(a, d, nil, v) // has no error
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

// aclOfConsumer is the membership that the path names by its id or group. Those of other
// consumers are not found.
func (a *API) aclOfConsumer(c *call) (target, error) {
	consumer, err := a.consumerOf(c)
	idOrGroup := c.param("acl")
	return target{
		entity: a.acls, idOrKey: idOrGroup, key: "group",
		in: c.input.With("consumer", map[string]any{"id": consumer.ID()}),
		find: func() (schema.Stored, error) {
			if !authz.IsUUID(idOrGroup) {
				return a.findUnique(a.acls, entities.ACLKey(consumer.ID(), idOrGroup))
			}
			s, err := a.findID(a.acls, idOrGroup)
			if err == nil && s.Record("consumer").Text("id") != consumer.ID() {
				return schema.Stored{}, authz.ErrNotFound
			}
			return s, err
		},
	}, err
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
	stored, err := a.storedACLs(view, entities.ACLKey(consumer, ""), func(string) bool { return true })
	all = append(all, stored...)
	slices.SortFunc(all, func(x, y schema.Stored) int { return cmp.Compare(x.ID(), y.ID()) })
	return all, err
}

// storedACLs returns the stored memberships whose keys begin with a prefix. It reads only those
// whose keys keep accepts.
func (a *API) storedACLs(view *state.View, prefix string, keep func(key string) bool) (all []schema.Stored, err error) {
	view.WithPrefix(a.acls.kind, prefix, func(key string, record func() *state.Record) bool {
		if !keep(key) {
			return true
		}
		var s schema.Stored
		if s, err = a.acls.open(record()); err == nil {
			all = append(all, s)
		}
		return err == nil
	})
	return all, err
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
