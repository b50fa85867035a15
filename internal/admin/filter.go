package admin

import (
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// A head is what a list is filtered by: [state.Head] for a record, which is not read for that.
type head interface {
	ID() string
	// Unique are the keys that no other entity of the kind has.
	Unique() []string
	Tags() []string
}

// A filter says which entities a list has.
type filter func(head) bool

func everything(head) bool { return true }

// A declaredHead is the head of a declared entity.
type declaredHead struct {
	of *entity
	schema.Stored
}

func (h declaredHead) Tags() []string { return h.List("tags") }

func (h declaredHead) Unique() (keys []string) {
	for _, c := range h.of.unique(h.Document) {
		keys = append(keys, c.key)
	}
	return keys
}
