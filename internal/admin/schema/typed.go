package schema

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
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
)

const (
	maxList = 1000
	maxText = 4096
)

// An Input is a request's body as names and values. The values of a form are texts; the
// schema gives them a type.
type Input struct {
	Values map[string]any
	Form   bool
}

// With returns the input with another value under a name.
func (in Input) With(name string, value any) Input {
	values := map[string]any{}
	maps.Copy(values, in.Values)
	values[name] = value
	return Input{values, in.Form}
}

// Typed reads input under a schema, and adds to v what is wrong with it. A field that is not
// given comes from base; if base is nil, it has its default.
func Typed(fields []api.Field, in Input, base Document, v Violations) Document {
	return typedFields(fields, in.Values, in.Form, base, v, "")
}

func typedFields(fields []api.Field, in map[string]any, form bool, base Document, v Violations, path string) Document {
	out := Document{}
	for name := range in {
		if !slices.ContainsFunc(fields, func(f api.Field) bool { return f.Name == name || f.Alias != "" && f.Alias == name }) {
			v.Add(path+name, "unknown field")
		}
	}
	for i := range fields {
		f := &fields[i]
		value, given := in[f.Name]
		if other, has := in[f.Alias]; has && f.Alias != "" {
			if given && !reflect.DeepEqual(other, value) {
				v.Add(path+f.Alias, fmt.Sprintf("is another name of %s and has another value", f.Name))
			}
			value, given = other, true
		}
		if s, ok := value.(string); ok && form && s == "" {
			value = nil
		}
		switch {
		case f.Kind == api.Record:
			out[f.Name] = typedRecord(f, value, given, form, base, v, path)
			continue
		case given && value != nil:
			out[f.Name] = typedValue(f, value, form, v, path)
			continue
		case !given && base != nil:
			out[f.Name] = base[f.Name]
		default:
			out[f.Name] = nil
		}
		if out[f.Name] == nil && f.Default != nil {
			out[f.Name] = f.Default
		}
		if out[f.Name] == nil && f.Required {
			v.Add(path+f.Name, "required field missing")
		}
	}
	return out
}

func typedRecord(f *api.Field, value any, given, form bool, base Document, v Violations, path string) any {
	in, ok := value.(map[string]any)
	if given && value != nil && !ok {
		v.Add(path+f.Name, "expected a record")
		return nil
	}
	var inner Document
	if base != nil && (!given || value != nil) {
		inner = base.Record(f.Name)
	}
	return Merged(inner, typedFields(f.Fields, in, form, inner, v, path+f.Name+"."))
}

func typedValue(f *api.Field, value any, form bool, v Violations, path string) any {
	problem := ""
	var out any
	switch f.Kind {
	case api.Text:
		out, problem = typedText(f, value)
	case api.Integer:
		out, problem = typedInteger(f, value, form)
	case api.Boolean:
		out, problem = typedBoolean(value, form)
	case api.List:
		out, problem = typedList(f, value, form)
	case api.NameList:
		if s, ok := value.(string); ok {
			value = []any{s}
		}
		out, problem = typedList(f, value, form)
	case api.Reference:
		return typedReference(f, value, v, path)
	case api.Record:
		return nil // has a path of its own
	}
	if problem != "" {
		v.Add(path+f.Name, problem)
		return nil
	}
	return out
}

func typedText(f *api.Field, value any) (any, string) {
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
	case f.OneOf != nil && !slices.Contains(f.OneOf, s):
		return nil, "expected one of: " + strings.Join(f.OneOf, ", ")
	case f.Check != nil:
		if problem := f.Check(s); problem != "" {
			return nil, problem
		}
	}
	return s, ""
}

func typedInteger(f *api.Field, value any, form bool) (any, string) {
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
	case f.OneOf != nil && !slices.Contains(f.OneOf, strconv.FormatInt(n, 10)):
		return nil, "expected one of: " + strings.Join(f.OneOf, ", ")
	case f.Max != 0 && (n < f.Min || n > f.Max):
		return nil, fmt.Sprintf("value should be between %d and %d", f.Min, f.Max)
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

func typedList(f *api.Field, value any, form bool) (any, string) {
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
		s, problem := typedText(f, element)
		if problem != "" {
			return nil, problem
		}
		if s, ok := s.(string); ok && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, ""
}

// typedReference returns {"id": …} or {key: …}, which is resolved later.
func typedReference(f *api.Field, value any, v Violations, path string) any {
	if s, ok := value.(string); ok {
		name := f.Key
		if authz.IsUUID(strings.ToLower(s)) {
			name = "id"
		}
		value = map[string]any{name: s}
	}
	in, ok := value.(map[string]any)
	if ok {
		// A field that is null counts as not given, as in all records.
		in = maps.Clone(in)
		maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
	}
	switch {
	case ok && len(in) == 0 && f.Required:
		v.Add(path+f.Name, "required field missing")
		return nil
	case !ok || len(in) != 1:
		v.Add(path+f.Name, `expected a record like {"id": …}`)
		return nil
	}
	for name, key := range in {
		s, isText := key.(string)
		switch {
		case name != "id" && name != f.Key:
			v.Add(path+f.Name+"."+name, "unknown field")
		case !isText:
			v.Add(path+f.Name+"."+name, "expected a string")
		case name == "id" && !authz.IsUUID(strings.ToLower(s)):
			v.Add(path+f.Name+".id", "expected a valid UUID")
		case name == "id":
			return Document{"id": strings.ToLower(s)}
		case s != "" && utf8.ValidString(s):
			return Document{name: s}
		default:
			v.Add(path+f.Name+"."+name, "expected a name")
		}
	}
	return nil
}

// Shown returns a document as answers show it: the fields of the schema, null if not
// set, with secrets masked.
func Shown(fields []api.Field, d Document) Document {
	out := make(Document, len(fields))
	for i := range fields {
		f := &fields[i]
		value := d[f.Name]
		switch {
		case f.Kind == api.Record:
			value = Shown(f.Fields, d.Record(f.Name))
		case f.Secret && value != nil:
			value = redact.Text
		case f.Kind == api.NameList:
			if l, ok := value.([]string); ok && len(l) == 1 {
				value = l[0]
			}
		}
		out[f.Name] = value
	}
	return out
}

// Merged returns the fields of base, replaced by those of over. Fields that only base
// has, such as those of a later version, stay.
func Merged(base, over Document) Document {
	out := make(Document, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}
