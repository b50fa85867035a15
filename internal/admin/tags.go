package admin

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A tagPosition is the place in a list of tags after which the next page begins.
type tagPosition struct {
	// kind is the place in [API.tagged].
	kind    int
	id, tag string
}

func (p tagPosition) String() string { return strconv.Itoa(p.kind) + "/" + p.id + "/" + p.tag }

// isTagPosition reports whether a list of tags can have given out an offset.
func isTagPosition(s string) bool {
	p := readTagPosition(s)
	return p.String() == s && p.kind >= 0 && authz.IsUUID(p.id) && p.tag != ""
}

// readTagPosition returns the beginning for "". A tag has no slash.
func readTagPosition(s string) tagPosition {
	number, rest, _ := strings.Cut(s, "/")
	id, tag, _ := strings.Cut(rest, "/")
	kind, _ := strconv.Atoi(number) // 0 is where nothing is left out
	return tagPosition{kind, id, tag}
}

// tagged are the entities that have tags, in the order in which their tags are listed.
func (a *API) tagged() []*entity {
	return []*entity{a.acls, a.consumers, a.policies, a.aclPlugins}
}

// listTags answers with the tags of all entities, or with the entities of one tag.
func (a *API) listTags(c *call) (reply, error) {
	w, err := c.window(isTagPosition)
	if err != nil {
		return reply{}, err
	}
	p := tagPage{collect(w), c.param("tag")}
	from := readTagPosition(w.after)
	for kind, e := range a.tagged() {
		after := ""
		switch {
		case kind < from.kind || p.full:
			continue
		case kind == from.kind && from.id != "":
			after = from.id
			s, err := a.findID(e, from.id)
			if err == nil {
				p.addTags(kind, e, s, from.tag)
			} else if !errors.Is(err, authz.ErrNotFound) {
				return reply{}, err
			}
		}
		if p.full {
			break
		}
		err := a.each(e, after, p.keep, func(s schema.Stored) bool {
			p.addTags(kind, e, s, "")
			return !p.full
		})
		if err != nil {
			return reply{}, err
		}
	}
	return p.answer(c), nil
}

// A tagPage collects one page.
type tagPage struct {
	*collection
	// wanted is the only tag to list, "" for all.
	wanted string
}

func (p tagPage) keep(h head) bool {
	tags := h.Tags()
	return p.wanted == "" && len(tags) > 0 || slices.Contains(tags, p.wanted)
}

// addTags adds the tags of an entity that come after one.
func (p tagPage) addTags(kind int, e *entity, s schema.Stored, after string) {
	for _, tag := range slices.Sorted(slices.Values(s.List("tags"))) {
		if tag <= after || p.wanted != "" && tag != p.wanted {
			continue
		}
		if !p.add(schema.Document{"entity_name": e.kongName(), "entity_id": s.ID(), "tag": tag}, tagPosition{kind, s.ID(), tag}.String()) {
			return
		}
	}
}

// kongName is what Kong calls the entity: a policy is a plugin there.
func (e *entity) kongName() string {
	if e.kind == state.KindPolicies {
		return "plugins"
	}
	return e.name
}
