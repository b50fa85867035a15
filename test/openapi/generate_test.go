package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// A schema is a node of the document.
type schema = map[string]any

// A generator generates values that the document allows.
type generator struct{ doc schema }

// at resolves references.
func (g generator) at(node any) schema {
	s, _ := node.(schema)
	for {
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		var found any = g.doc
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := found.(schema)
			found = m[name]
		}
		target, _ := found.(schema)
		rest := maps.Clone(s)
		delete(rest, "$ref")
		s = maps.Clone(target)
		maps.Copy(s, rest)
	}
}

// flat merges the parts of a schema (allOf) and one of its alternatives.
func (g generator) flat(t *rapid.T, node any) schema {
	s := maps.Clone(g.at(node))
	var more []any
	if all, ok := s["allOf"].([]any); ok {
		more = append(more, all...)
	}
	for _, name := range []string{"oneOf", "anyOf"} {
		if choices, ok := s[name].([]any); ok {
			more = append(more, choices[rapid.IntRange(0, len(choices)-1).Draw(t, name)])
		}
		delete(s, name)
	}
	delete(s, "allOf")
	for _, other := range more {
		for name, value := range g.flat(t, other) {
			switch name {
			case "properties":
				properties := schema{}
				before, _ := s[name].(schema)
				maps.Copy(properties, before)
				maps.Copy(properties, value.(schema))
				value = properties
			case "required":
				before, _ := s[name].([]any)
				value = append(slices.Clone(before), value.([]any)...)
			}
			s[name] = value
		}
	}
	return s
}

// The words in generated texts: names of existing entities, and unusual text.
var words = []string{
	"alice", "demo", "memory", "gold", "partners", "default", "edge", "vault-auth", "acl", "x", "a b", "a+b", "ü", "100%", "\"",
	"*.example.com", "example.com", "/v1", "127.0.0.1", "access_token", "consumers", "plugins", "validate", "garbage",
}

var ids = []string{
	"ce67c25e-2168-4a09-81e5-e06187a2384f", "64063284-e3b5-48e7-9bca-802251c32138", "7f853474-7b70-439d-ad59-2481a0a9a904",
}

func (g generator) value(t *rapid.T, node any) any {
	s := g.flat(t, node)
	if value, has := s["const"]; has {
		return value
	}
	if values, ok := s["enum"].([]any); ok {
		return rapid.SampledFrom(values).Draw(t, "enum")
	}
	switch kind := kindOf(t, s); kind {
	case "null":
		return nil
	case "boolean":
		return rapid.Bool().Draw(t, "boolean")
	case "integer":
		return rapid.Int64Range(number(s["minimum"], 0), number(s["maximum"], 1<<31)).Draw(t, "integer")
	case "string":
		if s["pattern"] == "^/" {
			return "/" + rapid.SampledFrom(words).Draw(t, "path")
		}
		if s["pattern"] != nil || s["format"] == "uuid" {
			return rapid.SampledFrom(ids).Draw(t, "id")
		}
		return rapid.SampledFrom(words).Draw(t, "text")
	case "array":
		return g.array(t, s)
	case "object":
		return g.object(t, s)
	default:
		panic(fmt.Sprintf("the document has a type %q", kind))
	}
}

func kindOf(t *rapid.T, s schema) string {
	switch kind := s["type"].(type) {
	case string:
		return kind
	case []any:
		return fmt.Sprint(rapid.SampledFrom(kind).Draw(t, "type"))
	}
	return "object"
}

func (g generator) array(t *rapid.T, s schema) []any {
	list := []any{}
	for range rapid.IntRange(int(number(s["minItems"], 0)), int(min(number(s["maxItems"], 3), 3))).Draw(t, "length") {
		list = append(list, g.value(t, s["items"]))
	}
	return list
}

func (g generator) object(t *rapid.T, s schema) schema {
	properties, _ := s["properties"].(schema)
	required, _ := s["required"].([]any)
	names := slices.Sorted(maps.Keys(properties))
	if s["maxProperties"] != nil {
		names = []string{rapid.SampledFrom(names).Draw(t, "property")}
	}
	out := schema{}
	for _, name := range names {
		if slices.Contains(required, any(name)) || s["maxProperties"] != nil || rapid.IntRange(0, 3).Draw(t, "has "+name) == 0 {
			out[name] = g.value(t, properties[name])
		}
	}
	if extra, ok := s["additionalProperties"].(schema); ok {
		out[rapid.SampledFrom(words).Draw(t, "name")] = g.value(t, extra)
	}
	return out
}

func number(v any, otherwise int64) int64 {
	if n, ok := v.(int); ok {
		return int64(n)
	}
	return otherwise
}
