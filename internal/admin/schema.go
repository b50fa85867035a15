package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vault-authz/vault-authz/authz"
)

type fieldKind uint8

const (
	text fieldKind = iota
	integer
	boolean
	// list is a set of texts.
	list
	// names is one text or a list of them.
	names
	// reference is {"id": …} of another entity; its name will do.
	reference
	// record has fields of its own.
	record
)

// A field is one line of an entity's schema. Values from forms are typed by it.
type field struct {
	name string
	// alias is another name that is understood but never shown.
	alias    string
	kind     fieldKind
	required bool
	// byDefault is the value of a field that is not set.
	byDefault any
	// secret values are masked in every answer.
	secret bool
	oneOf  []string
	min    int64
	max    int64
	// check returns what is wrong with a text, or with an element of a list.
	check func(string) string
	// key is the field that may stand for the id in a reference.
	key    string
	fields []field
}

const (
	maxList = 1000
	maxText = 4096
)

// typed reads input under a schema. What is not given comes from base, or is
// the default where base is nil.
func typed(fields []field, in map[string]any, form bool, base document, v violations, path string) document {
	out := document{}
	for name := range in {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name || f.alias != "" && f.alias == name }) {
			v.add(path+name, "unknown field")
		}
	}
	for i := range fields {
		f := &fields[i]
		value, given := in[f.name]
		if other, has := in[f.alias]; has && f.alias != "" {
			if given && !reflect.DeepEqual(other, value) {
				v.add(path+f.alias, fmt.Sprintf("is another name of %s and has another value", f.name))
			}
			value, given = other, true
		}
		if s, ok := value.(string); ok && form && s == "" {
			value = nil
		}
		switch {
		case f.kind == record:
			out[f.name] = f.typedRecord(value, given, form, base, v, path)
			continue
		case given && value != nil:
			out[f.name] = f.typed(value, form, v, path)
			continue
		case !given && base != nil:
			out[f.name] = base[f.name]
		default:
			out[f.name] = nil
		}
		if out[f.name] == nil && f.byDefault != nil {
			out[f.name] = f.byDefault
		}
		if out[f.name] == nil && f.required {
			v.add(path+f.name, "required field missing")
		}
	}
	return out
}

func (f *field) typedRecord(value any, given, form bool, base document, v violations, path string) any {
	in, ok := value.(map[string]any)
	if given && value != nil && !ok {
		v.add(path+f.name, "expected a record")
		return nil
	}
	var inner document
	if base != nil && (!given || value != nil) {
		inner = base.record(f.name)
	}
	return typed(f.fields, in, form, inner, v, path+f.name+".")
}

func (f *field) typed(value any, form bool, v violations, path string) any {
	problem := ""
	var out any
	switch f.kind {
	case text:
		out, problem = f.typedText(value)
	case integer:
		out, problem = f.typedInteger(value, form)
	case boolean:
		out, problem = typedBoolean(value, form)
	case list:
		out, problem = f.typedList(value, form)
	case names:
		if s, ok := value.(string); ok {
			value = []any{s}
		}
		out, problem = f.typedList(value, form)
	case reference:
		return f.typedReference(value, v, path)
	case record:
		return nil // has a path of its own
	}
	if problem != "" {
		v.add(path+f.name, problem)
		return nil
	}
	return out
}

func (f *field) typedText(value any) (any, string) {
	s, ok := value.(string)
	switch {
	case !ok:
		return nil, "expected a string"
	case s == "":
		return nil, "length must be at least 1"
	case len(s) > maxText:
		return nil, fmt.Sprintf("length must be at most %d", maxText)
	case !utf8.ValidString(s):
		return nil, "expected UTF-8"
	case f.oneOf != nil && !slices.Contains(f.oneOf, s):
		return nil, "expected one of: " + strings.Join(f.oneOf, ", ")
	case f.check != nil:
		if problem := f.check(s); problem != "" {
			return nil, problem
		}
	}
	return s, ""
}

func (f *field) typedInteger(value any, form bool) (any, string) {
	var digits string
	switch value := value.(type) {
	case json.Number:
		digits = value.String()
	case string:
		if form {
			digits = value
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil:
		return nil, "expected an integer"
	case f.max != 0 && (n < f.min || n > f.max):
		return nil, fmt.Sprintf("value should be between %d and %d", f.min, f.max)
	}
	return n, ""
}

func typedBoolean(value any, form bool) (any, string) {
	if b, ok := value.(bool); ok {
		return b, ""
	}
	if s, ok := value.(string); ok && form && (s == "true" || s == "false") {
		return s == "true", ""
	}
	return nil, "expected a boolean"
}

func (f *field) typedList(value any, form bool) (any, string) {
	if s, ok := value.(string); ok && form {
		value = []any{s}
	}
	elements, ok := value.([]any)
	if !ok {
		return nil, "expected an array"
	}
	if len(elements) > maxList {
		return nil, fmt.Sprintf("length must be at most %d", maxList)
	}
	out := make([]string, 0, len(elements))
	for _, element := range elements {
		if form && element == "" {
			continue
		}
		s, problem := f.typedText(element)
		if problem != "" {
			return nil, problem
		}
		if s, ok := s.(string); ok && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, ""
}

// typedReference returns {"id": …} or {key: …}; what it stands for is found out
// later.
func (f *field) typedReference(value any, v violations, path string) any {
	if s, ok := value.(string); ok {
		name := f.key
		if authz.IsUUID(strings.ToLower(s)) {
			name = "id"
		}
		value = map[string]any{name: s}
	}
	in, ok := value.(map[string]any)
	if ok {
		// What is null is not given, as in all records.
		in = maps.Clone(in)
		maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
	}
	switch {
	case ok && len(in) == 0 && f.required:
		v.add(path+f.name, "required field missing")
		return nil
	case !ok || len(in) != 1:
		v.add(path+f.name, `expected a record like {"id": …}`)
		return nil
	}
	for name, key := range in {
		s, isText := key.(string)
		switch {
		case name != "id" && name != f.key:
			v.add(path+f.name+"."+name, "unknown field")
		case !isText:
			v.add(path+f.name+"."+name, "expected a string")
		case name == "id" && !authz.IsUUID(strings.ToLower(s)):
			v.add(path+f.name+".id", "expected a valid UUID")
		case name == "id":
			return document{"id": strings.ToLower(s)}
		case s != "" && utf8.ValidString(s):
			return document{name: s}
		default:
			v.add(path+f.name+"."+name, "expected a name")
		}
	}
	return nil
}

// shown returns what an answer has of a document: the fields of the schema,
// null where they are not set, secrets masked.
func shown(fields []field, d document) document {
	out := make(document, len(fields))
	for i := range fields {
		f := &fields[i]
		value := d[f.name]
		switch {
		case f.kind == record:
			value = shown(f.fields, d.record(f.name))
		case f.secret && value != nil:
			value = masked
		case f.kind == names:
			if l, ok := value.([]string); ok && len(l) == 1 {
				value = l[0]
			}
		}
		out[f.name] = value
	}
	return out
}

// merged puts the fields of over on top of those of base, which it leaves as it
// is: what only base has (a later version's fields) stays.
func merged(base, over document) document {
	out := make(document, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

func expectUUID(s string) string {
	if !authz.IsUUID(s) {
		return "expected a valid UUID"
	}
	return ""
}

// checkTag is Kong's rule for tags: "," and "/" separate them in filters.
func checkTag(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == ',' || c == '/' {
			return fmt.Sprintf("invalid tag %q: expected printable ascii (except `,` and `/`) or valid utf-8 sequences", s)
		}
	}
	return ""
}

// The fields that every entity has.
var (
	idField      = field{name: "id", check: expectUUID}
	createdField = field{name: "created_at", kind: integer}
	updatedField = field{name: "updated_at", kind: integer}
	tagsField    = field{name: "tags", kind: list, check: checkTag}
)
