package admin

import (
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/state"
)

// search returns the filter for the consumers whose username, custom id or group contains a
// text, in any case, or whose id begins with it. It goes over all of them in memory, and reads
// no record.
func (a *API) search(text string) (filter, error) {
	view, err := a.deps.Store.View()
	if err != nil {
		return nil, err
	}
	text = strings.ToLower(text)
	members := a.membersOf(view, text)
	mayBeID := strings.Trim(text, "0123456789abcdef-") == ""
	return func(h head) bool {
		for _, key := range h.Unique() {
			if _, value, _ := strings.Cut(key, "="); strings.Contains(strings.ToLower(value), text) {
				return true
			}
		}
		if !mayBeID && len(members) == 0 {
			return false
		}
		id := h.ID()
		_, is := slices.BinarySearch(members, id)
		return is || mayBeID && strings.HasPrefix(id, text)
	}, nil
}

// membersOf returns the ids of the consumers with a group that contains a text in lower case.
// They are sorted.
func (a *API) membersOf(view *state.View, text string) (ids []string) {
	add := func(id, group string) {
		if strings.Contains(strings.ToLower(group), text) {
			ids = append(ids, id)
		}
	}
	view.WithPrefix(a.acls.kind, entities.ACLPrefix, func(key string, _ func() *state.Record) bool {
		id, group, _ := strings.Cut(strings.TrimPrefix(key, entities.ACLPrefix), "/")
		add(id, group)
		return true
	})
	for _, d := range a.declaredOf(a.acls.kind) {
		add(d.Record("consumer").Text("id"), d.Text("group"))
	}
	slices.Sort(ids)
	return ids
}
