package admin

import (
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

var (
	consumerFields = api.FieldsOf(api.Consumer{})
	aclFields      = api.FieldsOf(api.ACL{})
)

func consumersEntity() *entity {
	return &entity{
		kind: state.KindConsumers, name: "consumers", key: "username",
		fields: consumerFields,
		unique: func(d document) []constraint { return uniqueTexts(d, "username", "custom_id") },
		check:  checkConsumer,
		inUse:  anonymousInUse,
	}
}

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

// uniqueTexts makes each field that is set unique on its own.
func uniqueTexts(d document, names ...string) []constraint {
	var all []constraint
	for _, name := range names {
		if value := d.text(name); value != "" {
			all = append(all, constraint{key: name + "=" + value, fields: map[string]any{name: value}})
		}
	}
	return all
}

func same(name string) string { return name }

func checkConsumer(_ *API, d, _ document, v violations) error {
	if d["username"] == nil && d["custom_id"] == nil {
		v.add(entityField, "at least one of these fields must be non-empty: 'custom_id', 'username'")
		return nil
	}
	// These become header values, which the core has rules for.
	c := authz.Consumer{ID: DeclaredID("", ""), Username: d.text("username"), CustomID: d.text("custom_id")}
	v.addErrors(c.Validate(), same)
	return nil
}

// anonymousInUse refuses to delete the consumer that a policy falls back on.
// Kong does not, and answers 500 from then on.
func anonymousInUse(a *API, d document) error {
	all, err := a.all(a.policies)
	if err != nil {
		return err
	}
	for _, p := range all {
		if who := p.text("anonymous"); who != "" && (who == d.text("id") || who == d.text("username")) {
			return referencedBy(a.consumers.name, "plugins")
		}
	}
	return nil
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
