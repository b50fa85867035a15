package entities

import (
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A directory finds the stored consumers of one view of the state.
type directory struct {
	view *state.View
	// names are the usernames and custom ids that the configuration declares: a
	// stored consumer that has one of them is not used.
	names map[string]bool
}

// Consumers returns the stored consumers of a view, with their groups. Nothing is
// worked out before it is asked for.
func Consumers(declared Declared, view *state.View) authz.Consumers {
	d := directory{view: view, names: map[string]bool{}}
	for _, c := range declared.Consumers {
		for _, key := range consumerKeys(c) {
			d.names[key] = true
		}
	}
	return d
}

func consumerKeys(c authz.Consumer) []string {
	var keys []string
	if c.Username != "" {
		keys = append(keys, "username="+c.Username)
	}
	if c.CustomID != "" {
		keys = append(keys, "custom_id="+c.CustomID)
	}
	return keys
}

// ByID implements [authz.Consumers].
func (d directory) ByID(id string) (authz.Consumer, error) {
	r, err := d.view.Get(state.KindConsumers, id)
	if err != nil {
		return authz.Consumer{}, err
	}
	return d.consumer(r)
}

// ByUsername implements [authz.Consumers].
func (d directory) ByUsername(username string) (authz.Consumer, error) {
	r, err := d.view.ByUnique(state.KindConsumers, "username="+username)
	if err != nil {
		return authz.Consumer{}, err
	}
	return d.consumer(r)
}

func (d directory) consumer(r *state.Record) (authz.Consumer, error) {
	fields, err := schema.Decode(r.Document)
	if err != nil {
		return authz.Consumer{}, err
	}
	if fields.Text("id") != r.ID {
		return authz.Consumer{}, fmt.Errorf("its record is of another consumer, %q", fields.Text("id"))
	}
	c := authz.Consumer{ID: r.ID, Username: fields.Text("username"), CustomID: fields.Text("custom_id"), Tags: fields.List("tags")}
	for _, key := range consumerKeys(c) {
		if d.names[key] {
			return authz.Consumer{}, fmt.Errorf("its %s is taken by a consumer of the configuration file", key[:strings.Index(key, "=")])
		}
	}
	prefix := ACLKey(r.ID, "")
	d.view.WithPrefix(state.KindACLs, prefix, func(key string, _ func() *state.Record) bool {
		c.Groups = append(c.Groups, strings.Clone(strings.TrimPrefix(key, prefix)))
		return true
	})
	// Without a group that is not valid it might pass a deny list.
	return c, c.Validate()
}

// ACLConsumer returns the id of the consumer whose group a record of acls is.
func ACLConsumer(r *state.Record) string {
	for _, key := range r.Unique {
		if id := ConsumerOfKey(key); id != "" {
			return id
		}
	}
	return ""
}

// consumersOf says whether there is a consumer of an id or username that is used.
func consumersOf(declared Declared, view *state.View) func(idOrUsername string) bool {
	stored := Consumers(declared, view)
	return func(idOrUsername string) bool {
		for _, c := range declared.Consumers {
			if c.ID == idOrUsername || c.Username == idOrUsername {
				return true
			}
		}
		_, byID := stored.ByID(idOrUsername)
		_, byName := stored.ByUsername(idOrUsername)
		return byID == nil || byName == nil
	}
}

// ACLPrefix is what all keys of memberships begin with.
const ACLPrefix = "group="

// ACLKey is the key of a membership, which is unique.
func ACLKey(consumerID, group string) string { return ACLPrefix + consumerID + "/" + group }

// ConsumerOfKey returns the id of the consumer in the key of a membership, "" if it is
// the key of something else.
func ConsumerOfKey(key string) string {
	rest, ok := strings.CutPrefix(key, ACLPrefix)
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}
