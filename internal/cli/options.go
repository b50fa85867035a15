package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/internal/api"
)

// policyOptions and the like return the options of an entity. [api] defines their names, flags
// and help.
func policyOptions() []api.Field { return api.FieldsOf(api.DefaultPolicy()) }

func consumerOptions() []api.Field { return api.FieldsOf(api.Consumer{}) }

func vaultOptions() []api.Field { return api.FieldsOf(api.Vault{}) }

func aclPluginOptions() []api.Field {
	options := api.FieldsOf(api.Plugin{})
	for i := range options {
		if options[i].Kind == api.Record {
			options[i].Fields = api.PluginFields(api.PluginACL)
		}
	}
	return options
}

// withFlags calls each with the options that have a flag, those of records among them.
func withFlags(options []api.Field, each func(*api.Field)) {
	for i := range options {
		o := &options[i]
		withFlags(o.Fields, each)
		if o.Flag != "" {
			each(o)
		}
	}
}

// addOptionFlags adds a flag for each option except those named in but.
func addOptionFlags(f *pflag.FlagSet, options []api.Field, but ...string) {
	withFlags(options, func(o *api.Field) {
		if slices.Contains(but, o.Flag) {
			return
		}
		usage := o.Usage
		// A word in capitals stands for the value.
		if word, rest, _ := strings.Cut(usage, " "); len(word) > 1 && !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsUpper(r) }) {
			usage = strings.TrimSpace("`" + word + "` " + rest)
		}
		switch o.Kind {
		case api.Boolean:
			byDefault, _ := o.Default.(bool)
			f.Bool(o.Flag, byDefault, usage)
		case api.Integer:
			f.Int(o.Flag, 0, usage)
		case api.List, api.NameList:
			f.StringArray(o.Flag, nil, usage+", any number of times")
		case api.Text, api.Reference, api.Record:
			f.String(o.Flag, "", usage)
		}
	})
}

// given returns the options that flags were given for, by their names. An empty value
// unsets an option, and a list is replaced as a whole.
func given(f *pflag.FlagSet, options []api.Field) map[string]any {
	out := map[string]any{}
	for i := range options {
		o := &options[i]
		if o.Kind == api.Record {
			if inner := given(f, o.Fields); len(inner) > 0 {
				out[o.Name] = inner
			}
			continue
		}
		if o.Flag == "" || !f.Changed(o.Flag) {
			continue
		}
		// The types are those that the flags were made with.
		switch o.Kind {
		case api.Boolean:
			out[o.Name], _ = f.GetBool(o.Flag)
		case api.Integer:
			n, _ := f.GetInt(o.Flag)
			out[o.Name] = int64(n)
		case api.List, api.NameList:
			items, _ := f.GetStringArray(o.Flag)
			out[o.Name] = nil
			if items = slices.DeleteFunc(items, func(s string) bool { return s == "" }); len(items) > 0 {
				out[o.Name] = items
			}
		default:
			out[o.Name] = nil
			if s, _ := f.GetString(o.Flag); s != "" {
				out[o.Name] = s
			}
		}
	}
	return out
}

// something returns an error for an update without a change: without the flag of an option, and
// without one of more.
func something(cmd *cobra.Command, options []api.Field, more ...string) error {
	withFlags(options, func(o *api.Field) { more = append(more, o.Flag) })
	if slices.ContainsFunc(more, cmd.Flags().Changed) {
		return nil
	}
	slices.Sort(more)
	return exitError{exitUsage, fmt.Errorf("nothing to change: give one of --%s; see %s --help", strings.Join(more, ", --"), cmd.CommandPath())}
}

// optionRows returns a row for each option of an entity except its id and its times. instead
// has texts for some options, which are shown instead of their values.
func optionRows(options []api.Field, values map[string]any, instead map[string]string) []row {
	var rows []row
	for i := range options {
		o := &options[i]
		if o.Kind == api.Record {
			inner, _ := values[o.Name].(map[string]any)
			rows = append(rows, optionRows(o.Fields, inner, instead)...)
			continue
		}
		if o.Name == "id" || o.Time {
			continue
		}
		text, special := instead[o.Name]
		if !special {
			text = optionText(values[o.Name])
		}
		rows = append(rows, row{rowName(o), text})
	}
	return rows
}

// rowName is the name of an option for people. One that goes by a longer name on the command
// line, such as a status, has that.
func rowName(o *api.Field) string {
	name := strings.ReplaceAll(o.Name, "_", "-")
	if strings.HasSuffix(o.Flag, "-"+name) {
		name = o.Flag
	}
	return strings.ReplaceAll(name, "-", " ")
}

func optionText(value any) string {
	switch value := value.(type) {
	case bool:
		return yesNo(&value)
	case int64:
		return strconv.FormatInt(value, 10)
	case []string:
		return list(value)
	case string:
		return value
	}
	return ""
}
