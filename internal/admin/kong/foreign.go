package kong

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// A foreignField is a field of Kong's plugins that has no effect here. Kong's own
// answers have it, so it is accepted with the values that describe what this service
// does anyway, and refused with others: the service never accepts what it will not do.
type foreignField struct {
	name     string
	accepted []any
	problem  string
}

var foreignFields = []foreignField{
	// Up to Kong 1.5, for two proxies in a row.
	{"run_on", []any{"first", "all"}, "expected one of: first, all; there is no second proxy here"},
	{"ordering", nil, "value must be null: the order of filters is Envoy's"},
	{"consumer_group", nil, "value must be null: there are no consumer groups; use acl groups"},
	{"partials", nil, "value must be null: there are no partials"},
	{"condition", nil, "value must be null: make a policy with hosts or paths (/policies)"},
}

// foreignConfig are such fields of the acl plugin's config.
var foreignConfig = []foreignField{
	{"always_use_authenticated_groups", []any{false}, "value must be false: only the groups of consumers count here"},
	{"include_consumer_groups", []any{false}, "value must be false: there are no consumer groups"},
}

// withoutForeign returns values without the fields that mean nothing here.
func withoutForeign(values map[string]any, form bool, foreign []foreignField, path string, v schema.Violations) map[string]any {
	values = maps.Clone(values)
	for _, f := range foreign {
		value, given := values[f.name]
		if !given {
			continue
		}
		delete(values, f.name)
		if value == nil || form && value == "" || slices.ContainsFunc(f.accepted, func(a any) bool {
			return value == a || form && value == fmt.Sprint(a)
		}) {
			continue
		}
		v.Add(path+f.name, f.problem)
	}
	return values
}
