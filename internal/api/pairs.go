package api

import (
	"reflect"
	"slices"
)

// A pair is a field here and the one of package authz that it stands for.
type pair struct{ here, there []int }

type pairs []pair

// pairsOf pairs the fields of the same name, or of the name that the tag authz gives.
// The fields of a struct are paired one by one: with those of its counterpart, or with those of
// there if it has none.
func pairsOf(here, there reflect.Type) pairs {
	var all pairs
	for _, f := range reflect.VisibleFields(here) {
		name := f.Name
		if other, tagged := f.Tag.Lookup("authz"); tagged {
			name = other
		}
		to, found := there.FieldByName(name)
		switch isRecord := f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct; {
		case isRecord && found && to.Type.Kind() == reflect.Struct:
			for _, inner := range pairsOf(f.Type.Elem(), to.Type) {
				all = append(all, pair{slices.Concat(f.Index, inner.here), slices.Concat(to.Index, inner.there)})
			}
		case found:
			all = append(all, pair{f.Index, to.Index})
		case isRecord && name != "-":
			for _, inner := range pairsOf(f.Type.Elem(), there) {
				all = append(all, pair{slices.Concat(f.Index, inner.here), inner.there})
			}
		}
	}
	return all
}

// forth copies the fields that are not nil from here to there.
func (all pairs) forth(here, there reflect.Value) {
	for _, p := range all {
		from, err := here.FieldByIndexErr(p.here)
		if err != nil || (from.Kind() == reflect.Pointer || from.Kind() == reflect.Slice) && from.IsNil() {
			continue
		}
		to := there.FieldByIndex(p.there)
		to.Set(reflect.Indirect(from).Convert(to.Type()))
	}
}

// back sets all fields here. A record is made only for a field in it that is not zero.
func (all pairs) back(here, there reflect.Value) {
	for _, p := range all {
		from, to := there.FieldByIndex(p.there), here
		for i, index := range p.here {
			to = to.Field(index)
			if i == len(p.here)-1 {
				break
			}
			if to.IsNil() {
				if from.IsZero() {
					break
				}
				to.Set(reflect.New(to.Type().Elem()))
			}
			to = to.Elem()
		}
		switch {
		case to.Kind() == reflect.Struct || to.Kind() == reflect.Pointer && to.Type().Elem().Kind() == reflect.Struct:
			// The record that is not made.
		case to.Kind() == reflect.Pointer:
			value := reflect.New(to.Type().Elem())
			value.Elem().Set(from.Convert(to.Type().Elem()))
			to.Set(value)
		default:
			to.Set(from.Convert(to.Type()))
		}
	}
}
