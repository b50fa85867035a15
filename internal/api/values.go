package api

import "reflect"

// Values returns the fields of an entity by their names. A value is a string, int64,
// bool or []string, a map for a reference or a record, and nil where it is not set.
func Values[T any](fields []Field, entity *T) map[string]any {
	return values(fields, reflect.ValueOf(entity).Elem())
}

func values(fields []Field, entity reflect.Value) map[string]any {
	all := make(map[string]any, len(fields))
	for i := range fields {
		all[fields[i].Name] = fields[i].get(entity)
	}
	return all
}

// Get returns the value of the field in an entity, as [Values] does, or its default
// where it is not set.
func Get[T any](f *Field, entity *T) any {
	if v := f.get(reflect.ValueOf(entity).Elem()); v != nil {
		return v
	}
	return f.Default
}

// Set sets the field of an entity to a value as [Values] has it. A value of another
// type leaves it as it is.
func Set[T any](f *Field, entity *T, value any) { f.set(reflect.ValueOf(entity).Elem(), value) }

// Read returns the entity with these values.
func Read[T any](fields []Field, values map[string]any) T {
	var entity T
	v := reflect.ValueOf(&entity).Elem()
	for i := range fields {
		fields[i].set(v, values[fields[i].Name])
	}
	return entity
}

func (f *Field) get(entity reflect.Value) any {
	v := entity.FieldByIndex(f.index)
	given := v.Kind() == reflect.Pointer && !v.IsNil()
	v = reflect.Indirect(v)
	switch {
	case f.Kind == Record && !v.IsValid():
		return values(f.Fields, reflect.New(entity.FieldByIndex(f.index).Type().Elem()).Elem())
	case !v.IsValid():
		return nil
	}
	switch f.Kind {
	case Text:
		if s := v.String(); s != "" {
			return s
		}
	case Integer:
		if n := v.Int(); given || n != 0 {
			return n
		}
	case Boolean:
		if b := v.Bool(); given || b {
			return b
		}
	case List, NameList:
		if v.Len() > 0 {
			return v.Convert(reflect.TypeFor[[]string]()).Interface()
		}
	case Reference:
		if id := v.FieldByName("ID").String(); id != "" {
			return map[string]any{"id": id}
		}
	case Record:
		return values(f.Fields, v)
	}
	return nil
}

func (f *Field) set(entity reflect.Value, value any) {
	to := entity.FieldByIndex(f.index)
	if value == nil {
		return
	}
	into := to
	if to.Kind() == reflect.Pointer {
		into = reflect.New(to.Type().Elem()).Elem()
	}
	if f.put(into, value) && to.Kind() == reflect.Pointer {
		to.Set(into.Addr())
	}
}

// put says whether the value is of the type of the field.
func (f *Field) put(into reflect.Value, value any) bool {
	switch value := value.(type) {
	case string, int64, bool, []string:
		v := reflect.ValueOf(value)
		fits := f.Kind == Text && v.Kind() == reflect.String || f.Kind == Integer && v.Kind() == reflect.Int64 ||
			f.Kind == Boolean && v.Kind() == reflect.Bool || (f.Kind == List || f.Kind == NameList) && v.Kind() == reflect.Slice
		if fits {
			into.Set(v.Convert(into.Type()))
		}
		return fits
	case map[string]any:
		switch f.Kind { //nolint:exhaustive // the others are no maps
		case Reference:
			id, _ := value["id"].(string)
			into.FieldByName("ID").SetString(id)
			return true
		case Record:
			for i := range f.Fields {
				f.Fields[i].set(into, value[f.Fields[i].Name])
			}
			return true
		}
	}
	return false
}
