package kongimport

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// empty reports whether a value counts as not set: Kong's dumps have null, an empty list
// or false for fields that are not set.
func empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case bool:
		return !value
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}

// nameOf returns a value that is a text, else "".
func nameOf(value any) string {
	s, _ := value.(string)
	return s
}

// describe names an entity by a field that is not secret.
func describe(o object) string {
	for _, field := range []string{"name", "username", "custom_id", "prefix", "group", "id"} {
		if s := nameOf(o[field]); s != "" {
			return s
		}
	}
	return ""
}

// A reference names another entity by id or name.
type reference struct{ id, name string }

func (r reference) String() string {
	if r.name != "" {
		return r.name
	}
	return r.id
}

// refer reads a reference, which may be the entity itself, an object with its id
// or name, or one of the two. keys are the fields that name such an entity.
func refer(value any, keys ...string) reference {
	switch value := value.(type) {
	case string:
		if id := strings.ToLower(value); authz.IsUUID(id) {
			return reference{id: id}
		}
		return reference{name: value}
	case object:
		return refer(map[string]any(value), keys...)
	case map[string]any:
		r := reference{id: strings.ToLower(nameOf(value["id"]))}
		for _, key := range keys {
			if r.name == "" {
				r.name = nameOf(value[key])
			}
		}
		return r
	}
	return reference{}
}

// meets reports whether two references are to the same entity.
func (r reference) meets(other reference) bool {
	if r.id != "" && other.id != "" {
		return r.id == other.id
	}
	return r.name != "" && r.name == other.name
}

// A reader reads the fields of an entity, collects the mistakes in them, and knows which
// fields have not been read. It quotes no value.
type reader struct {
	fields   object
	path     string
	read     map[string]bool
	problems []string
}

func readerOf(fields object, path string) *reader {
	return &reader{fields: fields, path: path, read: map[string]bool{}}
}

func (r *reader) value(name string) any {
	r.read[name] = true
	return r.fields[name]
}

func (r *reader) wrong(name, problem string) {
	r.problems = append(r.problems, fmt.Sprintf("%s%s %s", r.path, name, problem))
}

func (r *reader) text(name string) string {
	value := r.value(name)
	s, ok := value.(string)
	if value != nil && !ok {
		r.wrong(name, "is not a text; put it in quotes")
	}
	return s
}

// id returns the id in lower case, "" for none.
func (r *reader) id() string {
	id := strings.ToLower(r.text("id"))
	if id != "" && !authz.IsUUID(id) {
		r.wrong("id", "is not a UUID")
	}
	return id
}

func (r *reader) optional(name string) *string {
	if s := r.text(name); s != "" {
		return &s
	}
	return nil
}

func (r *reader) list(name string) []string {
	value := r.value(name)
	elements, ok := value.([]any)
	if value != nil && !ok {
		r.wrong(name, "is not a list")
	}
	var out []string
	for _, e := range elements {
		s, ok := e.(string)
		if !ok {
			r.wrong(name, "contains something that is not a text; put it in quotes")
			return nil
		}
		out = append(out, s)
	}
	return out
}

// names reads a list that may be written as one text.
func (r *reader) names(name string) []string {
	if s, ok := r.fields[name].(string); ok {
		r.read[name] = true
		if s == "" {
			return nil
		}
		return []string{s}
	}
	return r.list(name)
}

func (r *reader) boolean(name string) *bool {
	value := r.value(name)
	b, ok := value.(bool)
	if !ok {
		if value != nil {
			r.wrong(name, "is neither true nor false")
		}
		return nil
	}
	return &b
}

func (r *reader) integer(name string) int {
	value := r.value(name)
	var n int
	var err error
	switch value := value.(type) {
	case nil:
	case int:
		n = value
	case json.Number:
		n, err = strconv.Atoi(value.String())
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		r.wrong(name, "is not an integer")
	}
	return n
}

// options reads the options of a plugin except references, which need to be resolved.
func (r *reader) options(fields []api.Field, into *api.PluginConfig) {
	for i := range fields {
		f := &fields[i]
		switch f.Kind {
		case api.Text:
			if s := r.text(f.Name); s != "" {
				api.Set(f, into, s)
			}
		case api.Integer:
			if r.fields[f.Name] != nil {
				api.Set(f, into, int64(r.integer(f.Name)))
			}
		case api.Boolean:
			if b := r.boolean(f.Name); b != nil {
				api.Set(f, into, *b)
			}
		case api.List:
			api.Set(f, into, r.list(f.Name))
		case api.NameList:
			api.Set(f, into, r.names(f.Name))
		case api.Reference, api.Record:
		}
	}
}

// unread returns a note for each field that is set and has not been read, except the
// ignored ones.
func (r *reader) unread(ignored ...string) []string {
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(r.fields)) {
		if !r.read[name] && !empty(r.fields[name]) && !slices.Contains(ignored, name) {
			notes = append(notes, r.path+name+" has no counterpart")
		}
	}
	return notes
}
