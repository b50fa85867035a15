package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A schema is a part of a JSON Schema.
type schema map[string]any

// Schema returns a JSON Schema (draft 7, which editors know best) of the configuration
// file. It refuses unknown settings and values of a wrong kind. What needs more than one
// setting to judge, such as a policy for an unknown vault object, only Load finds.
func Schema() ([]byte, error) {
	s := section(reflect.ValueOf(everySetting()).Elem())
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "Configuration of vault-authz"
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

// section returns the schema of a struct. A section without a value counts as not given,
// so null is allowed.
func section(v reflect.Value) schema {
	properties, required := schema{}, []string{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		value := v.Field(i)
		switch {
		case name == "-": // of the admin API only
		case field.Anonymous:
			for inline, s := range section(value)["properties"].(schema) {
				properties[inline] = s
			}
		default:
			properties[name] = setting(field, value)
			if field.Tag.Get("doc") != "" && !strings.Contains(options, "omitempty") {
				required = append(required, name)
			}
		}
	}
	s := schema{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// setting returns the schema of a field. Its value is its default.
func setting(field reflect.StructField, value reflect.Value) schema {
	if value.Kind() == reflect.Pointer && value.IsNil() {
		value = reflect.New(value.Type().Elem())
	}
	byDefault := strings.Trim(defaultText(value), "`")
	value = reflect.Indirect(value)
	s := kind(value)
	if _, effect, documented := strings.Cut(field.Tag.Get("doc"), ": "); documented {
		s["description"] = effect
		if byDefault != "" && value.Kind() != reflect.Slice {
			s["default"] = byDefault
			if !isText(value) {
				s["default"] = value.Interface()
			}
		}
	}
	for rule := range strings.SplitSeq(field.Tag.Get("rule"), ",") {
		if list, found := strings.CutPrefix(rule, "oneof="); found {
			delete(s, "type")
			s["enum"] = words(list, value)
		}
	}
	return s
}

// isText says whether a value is written as text.
func isText(v reflect.Value) bool {
	return v.Kind() == reflect.String || isDuration(v.Type()) || v.Type() == reflect.TypeFor[mode]()
}

// kind returns the schema of all values of a type.
func kind(v reflect.Value) schema {
	// YAML takes 17 for a number, also where a name is meant.
	text := []string{"string", "number"}
	switch t := v.Type(); {
	case isDuration(t):
		return schema{"anyOf": []schema{
			{"type": "string", "pattern": `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`},
			{"const": 0},
		}}
	case t == reflect.TypeFor[mode]():
		return schema{"anyOf": []schema{{"type": "string", "pattern": "^(0o?)?[0-7]{3}$"}, {"type": "integer"}}}
	case t == reflect.TypeFor[api.Ref]():
		return schema{"type": text}
	case t == reflect.TypeFor[api.Names]():
		return schema{"type": []string{"string", "number", "array"}, "items": schema{"type": text}}
	}
	switch v.Kind() { //nolint:exhaustive // settings have no others
	case reflect.Struct:
		return section(v)
	case reflect.Slice:
		items := schema{"type": text}
		if v.Type().Elem().Kind() == reflect.Struct {
			items = section(v.Index(0))
			items["type"] = "object"
		}
		return schema{"type": []string{"array", "null"}, "items": items}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.String:
		return schema{"type": text}
	}
	panic(fmt.Sprintf("config: a setting has the type %s", v.Type()))
}

// words returns the words that a setting may be. A word like 1.3 is also a number in YAML.
func words(list string, value reflect.Value) []any {
	var all []any
	for word := range strings.SplitSeq(list, "|") {
		if value.Kind() == reflect.String {
			all = append(all, word)
		}
		if n, err := strconv.ParseFloat(word, 64); err == nil {
			all = append(all, n)
		}
	}
	if value.Kind() == reflect.String && value.String() == "" {
		all = append(all, "")
	}
	return all
}
