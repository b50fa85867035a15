package kongimport

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

// differences collects the differences between two entities.
type differences []string

func (d *differences) add(field string, kong, here any) {
	if k, h := encoded(kong), encoded(here); k != h {
		*d = append(*d, fmt.Sprintf("%s is %s in the file and %s here", field, k, h))
	}
}

// set compares texts in any order.
func (d *differences) set(field string, kong, here []string) {
	sorted := func(texts []string) []string { return slices.Sorted(slices.Values(texts)) }
	if !slices.Equal(sorted(kong), sorted(here)) {
		d.add(field, append([]string{}, sorted(kong)...), append([]string{}, sorted(here)...))
	}
}

// id compares the ids if the file has one.
func (d *differences) id(kong, here string) {
	if kong != "" {
		d.add("id", kong, here)
	}
}

// options compares the options of a plugin. An option that is not set has its default.
func (d *differences) options(fields []api.Field, kong, here *api.PluginConfig) {
	for i := range fields {
		f := &fields[i]
		field, k, h := "config."+f.Name, api.Get(f, kong), api.Get(f, here)
		switch f.Kind {
		case api.List, api.NameList:
			// A value of another type counts as not set.
			inFile, _ := k.([]string)
			has, _ := h.([]string)
			d.set(field, inFile, has)
		case api.Text:
			inFile, _ := k.(string)
			has, _ := h.(string)
			d.add(field, inFile, has)
		default:
			// A vault object that does not exist yet cannot be the one here.
			d.add(field, k, h)
		}
	}
}

func encoded(value any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return "?"
	}
	return strings.TrimSuffix(b.String(), "\n")
}
