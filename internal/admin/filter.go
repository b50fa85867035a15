package admin

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
	stored
}

func (h declaredHead) ID() string     { return h.id() }
func (h declaredHead) Tags() []string { return h.list("tags") }

func (h declaredHead) Unique() (keys []string) {
	for _, c := range h.of.unique(h.document) {
		keys = append(keys, c.key)
	}
	return keys
}
