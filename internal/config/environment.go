package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environmentPrefix begins the name of every variable that is a setting.
const environmentPrefix = "VAULT_AUTHZ_"

// A Variable is a setting that can be given in the environment. Its name is that of the setting,
// log.level for VAULT_AUTHZ_LOG_LEVEL.
type Variable struct {
	Name, Setting string
	// index is that of the setting in a file.
	index []int
}

// Variables lists them all. The same list drives the code, the help text and
// docs/reference/configuration.md.
func Variables() []Variable { return variables(reflect.TypeFor[file](), "", nil) }

func variables(section reflect.Type, path string, index []int) []Variable {
	var all []Variable
	for _, f := range reflect.VisibleFields(section) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		setting, at := below(path, name), slices.Concat(index, f.Index)
		if _, tagged := f.Tag.Lookup("env"); tagged {
			name := environmentPrefix + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
			all = append(all, Variable{name, setting, at})
		}
		if f.Type.Kind() == reflect.Struct && !f.Anonymous {
			all = append(all, variables(f.Type, setting, at)...)
		}
	}
	return all
}

// set puts the text of a variable or a flag into a file.
func (v *Variable) set(f *file, text string) error {
	switch into := reflect.ValueOf(f).Elem().FieldByIndex(v.index).Addr().Interface().(type) {
	case *string:
		*into = text
	case **string:
		*into = &text
	case **int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*into = &n
	case **bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		on := text == "true"
		*into = &on
	case **time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms, 30s, 5m", text)
		}
		*into = &d
	case **mode:
		m, err := parseMode(text)
		if err != nil {
			return err
		}
		*into = &m
	default:
		panic(fmt.Sprintf("config: a variable sets a %T", into))
	}
	return nil
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	return env
}

// referenced lists the variables that the file itself refers to.
func (f *file) referenced() []string {
	var all []string
	for i := range f.Vaults {
		all = append(all, f.Vaults[i].Token.Env)
	}
	return all
}

// A Flag is a setting that is given on the command line.
type Flag struct {
	// Name is like --log-level.
	Name, Setting, Value string
}

// override puts the environment over c, and the flags over that. An empty variable counts
// as not set. An unknown variable with our prefix is a mistake, unless the file refers to
// it. from has the origin of each setting that was put over.
func override(c *Config, environ, referenced []string, flags []Flag) (from map[string]string, found findings) {
	var over file
	variables := Variables()
	from = map[string]string{}
	put := func(source, value string, is func(Variable) bool) {
		i := slices.IndexFunc(variables, is)
		if i < 0 {
			found = append(found, finding{text: source + " is not a setting; see vault-authz serve --help"})
			return
		}
		v := variables[i]
		from[v.Setting] = source
		if err := v.set(&over, value); err != nil {
			found = append(found, finding{setting: v.Setting, text: err.Error()})
		}
	}
	values := environment(environ)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == "" || !strings.HasPrefix(name, environmentPrefix) || slices.Contains(referenced, name) {
			continue
		}
		put("environment variable "+name, values[name], func(v Variable) bool { return v.Name == name })
	}
	for _, f := range flags {
		put(f.Name, f.Value, func(v Variable) bool { return v.Setting == f.Setting })
	}
	over.settings(c)
	return from, found
}
