package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The kinds of a [Difference].
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// A Difference is one setting or entity that two configurations differ in.
type Difference struct {
	Kind string `json:"kind"`
	// Setting is like log.level, consumers[alice] or policies[orders].acl.deny.
	Setting string `json:"setting"`
	// From and To are the values of a changed setting. They are empty for an entity, and
	// for what may be a secret.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Restart says that a service that runs keeps the old value until it is started
	// again.
	Restart bool `json:"restart"`
}

// Diff returns what a service that runs by c would change by a reload of next, and what it
// would change at a restart. It contains no secret.
func (c *Config) Diff(next *Config) []Difference {
	all := differences(c, next)
	reloaded, _ := c.Reloaded(next)
	restart := map[string]bool{}
	for _, d := range differences(&reloaded, next) {
		restart[d.Setting] = true
	}
	for i := range all {
		all[i].Restart = restart[all[i].Setting]
	}
	return all
}

func differences(a, b *Config) []Difference {
	var d differ
	d.compare("", reflect.ValueOf(a.file()), reflect.ValueOf(b.file()))
	slices.SortStableFunc(d.found, func(x, y Difference) int { return cmp.Compare(x.Setting, y.Setting) })
	return d.found
}

type differ struct{ found []Difference }

func (d *differ) compare(setting string, a, b reflect.Value) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	if a.Kind() == reflect.Pointer && a.Type().Elem().Kind() == reflect.Struct {
		a, b = orZero(a), orZero(b)
	}
	switch {
	case isSection(a.Type()):
		for name, index := range fieldsOf(a.Type()) {
			d.compare(below(setting, name), a.FieldByIndex(index), b.FieldByIndex(index))
		}
	case a.Kind() == reflect.Slice && isSection(a.Type().Elem()):
		d.entities(setting, a, b)
	case strings.HasSuffix(setting, ".sha256"):
		d.found = append(d.found, Difference{Kind: Changed, Setting: setting})
	default:
		d.found = append(d.found, Difference{Kind: Changed, Setting: setting, From: written(a), To: written(b)})
	}
}

// entities compares two lists of entities by their names, or by their ids.
func (d *differ) entities(setting string, a, b reflect.Value) {
	before, after := byKey(a), byKey(b)
	if len(before) != a.Len() || len(after) != b.Len() {
		// A name is given twice.
		d.found = append(d.found, Difference{Kind: Changed, Setting: setting})
		return
	}
	for key, v := range before {
		where := fmt.Sprintf("%s[%s]", setting, label(v))
		if other, kept := after[key]; kept {
			d.compare(where, v, other)
		} else {
			d.found = append(d.found, Difference{Kind: Removed, Setting: where})
		}
	}
	for key, v := range after {
		if _, known := before[key]; !known {
			d.found = append(d.found, Difference{Kind: Added, Setting: fmt.Sprintf("%s[%s]", setting, label(v))})
		}
	}
}

func byKey(list reflect.Value) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	for i := range list.Len() {
		all[firstOf(list.Index(i), "id", "name")] = list.Index(i)
	}
	return all
}

// label is what people call an entity.
func label(entity reflect.Value) string {
	return firstOf(entity, "name", "username", "custom_id", "id")
}

// firstOf returns the first of these settings that is not empty.
func firstOf(section reflect.Value, names ...string) string {
	fields := fieldsOf(section.Type())
	for _, name := range names {
		if index, has := fields[name]; has {
			if text := written(section.FieldByIndex(index)); text != "" {
				return text
			}
		}
	}
	return ""
}

// isSection says whether values of a type have settings below them.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 && !t.Implements(reflect.TypeFor[yaml.Marshaler]())
}

func orZero(p reflect.Value) reflect.Value {
	if p.IsNil() {
		return reflect.Zero(p.Type().Elem())
	}
	return p.Elem()
}

// written returns a value as people write it, "" for one that is not given.
func written(v reflect.Value) string {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		if s, ok := v.Interface().(fmt.Stringer); ok {
			return s.String()
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = written(v.Index(i))
		}
		return strings.Join(parts, ", ")
	}
	if v.Kind() == reflect.Struct {
		raw, err := yaml.Marshal(v.Interface())
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(raw))
	}
	return fmt.Sprint(v.Interface())
}
