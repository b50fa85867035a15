package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

// acls are memberships of consumers in groups. Their key, the group, is unique
// for a consumer only.
func aclsEntity() *entity {
	return &entity{
		kind: state.KindACLs, name: "acls",
		fields: aclFields,
		unique: func(d document) []constraint {
			consumer, group := d.record("consumer").text("id"), d.text("group")
			return []constraint{{
				key:    aclKey(consumer, group),
				fields: map[string]any{"consumer": map[string]any{"id": consumer}, "group": group},
			}}
		},
		check: checkACL,
	}
}

// aclPrefix is what all keys of memberships begin with.
const aclPrefix = "group="

func aclKey(consumerID, group string) string { return aclPrefix + consumerID + "/" + group }

// consumerOfKey returns the id of the consumer in the key of a membership, "" if it is
// the key of something else.
func consumerOfKey(key string) string {
	rest, ok := strings.CutPrefix(key, aclPrefix)
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// checkMembership checks what does not depend on whether there is the consumer.
func checkMembership(d document, v violations) {
	c := authz.Consumer{ID: DeclaredID("", ""), Username: "any", Groups: []string{d.text("group")}}
	if d["group"] != nil {
		v.addErrors(c.Validate(), func(string) string { return "group" })
	}
}

func checkACL(a *API, d, _ document, v violations) error {
	checkMembership(d, v)
	consumer, err := a.resolve(d, "consumer", a.consumers)
	if err == nil && consumer.declared {
		v.add("consumer", "is declared in the configuration file, and so are its groups; change the file")
	}
	return err
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
