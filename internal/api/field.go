package api

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Kind is what the value of a field is.
type Kind uint8

// The kinds.
const (
	// Text is a string.
	Text Kind = iota
	// Integer is an int64.
	Integer
	// Boolean is a bool.
	Boolean
	// List is a set of texts.
	List
	// NameList is one text or a list of them, as [Names].
	NameList
	// Reference is {"id": …} of another entity; its name will do.
	Reference
	// Record has fields of its own.
	Record
)

// A Field is one option of an entity, as the tags of its struct describe it:
//
//	json   its name
//	rule   what it may be, see [Field.rule]
//	flag   "NAME: USAGE" of its flag on the command line; NAME is that of the field, and
//	       USAGE what doc says, where they are left out
//	doc    "KIND: EFFECT" for people
type Field struct {
	// Name is that in JSON, Alias another one that is understood but never shown.
	Name, Alias string
	Kind        Kind
	Required    bool
	// Default is the value of a field that is not set: a string, int64, bool or
	// []string, nil for none.
	Default any
	// Secret values are masked in every answer.
	Secret bool
	// Time is Unix seconds that the service sets.
	Time  bool
	OneOf []string
	// Min and Max bound an integer if Max is not 0.
	Min, Max int64
	// Check returns what is wrong with a text, or with an element of a list. It may be
	// nil.
	Check func(string) string
	// Key is the field that may stand for the id in a reference.
	Key string
	// Plugin is the plugin that has the field in its config, "" for none. Ours says that
	// it is not one of Kong's.
	Plugin string
	Ours   bool
	// Limit says that the field of a credential can be changed, Answer that it is in
	// answers only.
	Limit, Answer bool
	// Made says that the service makes a value where none is given, Nullable that an answer
	// may have null even though the field is required, has a default, or is a reference.
	Made, Nullable bool
	// Flag is the name of its flag, "" for none; Usage is what the help says of it.
	Flag, Usage string
	// Effect is what the field does.
	Effect string
	// Fields are those of a record.
	Fields []Field

	index []int
}

// FieldsOf returns the fields of an entity in their order, with the values in defaults as
// their defaults.
func FieldsOf[T any](defaults T) []Field { return fieldsOf(reflect.ValueOf(defaults)) }

func fieldsOf(v reflect.Value) []Field {
	var all []Field
	for _, sf := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		f := Field{Name: name, index: sf.Index, Kind: kindOf(sf.Type)}
		if f.Kind == Record {
			inner := reflect.Indirect(v.FieldByIndex(sf.Index))
			if !inner.IsValid() {
				inner = reflect.New(sf.Type.Elem()).Elem()
			}
			f.Fields = fieldsOf(inner)
		} else {
			f.Default = f.get(v)
		}
		_, f.Effect, _ = strings.Cut(sf.Tag.Get("doc"), ": ")
		if flag, has := sf.Tag.Lookup("flag"); has {
			f.Flag, f.Usage, _ = strings.Cut(flag, ": ")
			f.Flag = cmp.Or(f.Flag, strings.ReplaceAll(name, "_", "-"))
			f.Usage = cmp.Or(f.Usage, f.Effect)
		}
		for rule := range strings.SplitSeq(sf.Tag.Get("rule"), ",") {
			f.rule(rule)
		}
		all = append(all, f)
	}
	return all
}

func kindOf(t reflect.Type) Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[Names]():
		return NameList
	case t == reflect.TypeFor[Ref]():
		return Reference
	}
	switch t.Kind() { //nolint:exhaustive // entities have no others
	case reflect.String:
		return Text
	case reflect.Int, reflect.Int64:
		return Integer
	case reflect.Bool:
		return Boolean
	case reflect.Slice:
		return List
	case reflect.Struct:
		return Record
	}
	panic(fmt.Sprintf("api: an entity has a field of the type %s", t))
}

// rule reads one of the rules in a tag.
func (f *Field) rule(text string) {
	name, value, _ := strings.Cut(text, "=")
	switch name {
	case "":
	case "required":
		f.Required = true
	case "secret":
		f.Secret = true
	case "time":
		f.Time = true
	case "ours":
		f.Ours = true
	case "limit":
		f.Limit = true
	case "answer":
		f.Answer = true
	case "made":
		f.Made = true
	case "nullable":
		f.Nullable = true
	case "alias":
		f.Alias = value
	case "key":
		f.Key = value
	case "plugin":
		f.Plugin = value
	case "oneof":
		f.OneOf = strings.Split(value, "|")
	case "min":
		f.Min = mustInt(value)
	case "max":
		f.Max = mustInt(value)
	case "check":
		if f.Check = checkOf(value); f.Check == nil {
			panic(fmt.Sprintf("api: there is no check %q", value))
		}
	default:
		panic(fmt.Sprintf("api: there is no rule %q", text))
	}
}

func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("api: " + err.Error())
	}
	return n
}

// PluginFields are the fields that the config of a plugin has, those of Kong's first.
func PluginFields(plugin string) []Field {
	no := false
	all := FieldsOf(PluginConfig{Policy: DefaultPolicy(), AlwaysUseAuthenticatedGroups: &no, IncludeConsumerGroups: &no})
	all = slices.DeleteFunc(all, func(f Field) bool { return f.Plugin != plugin })
	slices.SortStableFunc(all, func(a, b Field) int {
		switch {
		case a.Ours == b.Ours:
			return 0
		case a.Ours:
			return 1
		}
		return -1
	})
	return all
}
