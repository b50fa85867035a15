// Package fieldcopy copies between two structs whose fields stand for each other: one that people
// write, and one that the code uses. A field is named once on each side, and nowhere else.
package fieldcopy

import (
	"reflect"
	"slices"
	"strings"
)

// Fields are the fields of a struct that people write, and those that they stand for.
type Fields []pair

type pair struct{ here, there []int }

// Of pairs the fields of the same name, or of the name in the tag field, which may be a path like
// Mount.Path, and is - for a field that has no counterpart. The fields of a struct are paired one
// by one: with those of its counterpart, or with those of there if it has none.
func Of(here, there reflect.Type) Fields {
	var all Fields
	for _, f := range reflect.VisibleFields(here) {
		name := f.Name
		if other, tagged := f.Tag.Lookup("field"); tagged {
			name = other
		}
		if name == "-" || f.Anonymous {
			continue // the fields of an embedded struct follow it
		}
		section := f.Type
		if section.Kind() == reflect.Pointer {
			section = section.Elem()
		}
		to, index, found := counterpart(there, name)
		if section.Kind() != reflect.Struct {
			if found {
				all = append(all, pair{f.Index, index})
			}
			continue
		}
		if !found {
			to = there
		}
		for _, inner := range Of(section, to) {
			all = append(all, pair{slices.Concat(f.Index, inner.here), slices.Concat(index, inner.there)})
		}
	}
	return all
}

func counterpart(there reflect.Type, path string) (to reflect.Type, index []int, found bool) {
	to = there
	for name := range strings.SplitSeq(path, ".") {
		f, has := to.FieldByName(name)
		if !has {
			return nil, nil, false
		}
		to, index = f.Type, slices.Concat(index, f.Index)
	}
	return to, index, true
}

// Forth copies the fields that are given: a pointer or a list that is not nil, and a value that is
// not zero. Both arguments are pointers to the structs.
func (all Fields) Forth(here, there any) {
	from, to := reflect.ValueOf(here).Elem(), reflect.ValueOf(there).Elem()
	for _, p := range all {
		given, err := from.FieldByIndexErr(p.here)
		if err != nil || given.IsZero() {
			continue
		}
		field := to.FieldByIndex(p.there)
		field.Set(reflect.Indirect(given).Convert(field.Type()))
	}
}

// Back copies all fields from there to here. A pointer to a struct is set only for a field in it
// that is not zero. Both arguments are pointers to the structs.
func (all Fields) Back(here, there any) {
	for _, p := range all {
		from := reflect.ValueOf(there).Elem().FieldByIndex(p.there)
		section, last := reflect.ValueOf(here).Elem(), len(p.here)-1
		for _, i := range p.here[:last] {
			section = section.Field(i)
			if section.Kind() == reflect.Pointer && section.IsNil() && !from.IsZero() {
				section.Set(reflect.New(section.Type().Elem()))
			}
			if section = reflect.Indirect(section); !section.IsValid() {
				break
			}
		}
		if !section.IsValid() {
			continue
		}
		to := section.Field(p.here[last])
		if to.Kind() == reflect.Pointer {
			to.Set(reflect.New(to.Type().Elem()))
			to = to.Elem()
		}
		to.Set(from.Convert(to.Type()))
	}
}
