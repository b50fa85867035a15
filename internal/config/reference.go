package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/api"
)

// Reference returns the table of all settings in Markdown. A test holds the
// copy in docs/reference/configuration.md to it.
func Reference() string {
	var b strings.Builder
	b.WriteString("| setting | kind | default | effect |\n|---|---|---|---|\n")
	rows(&b, "", reflect.ValueOf(everySetting()).Elem())
	return b.String()
}

// everySetting returns a file with the default of each setting, and one element in each list
// of sections.
func everySetting() *file {
	c := Default()
	c.Admin.Tokens, c.Admin.ClientNames = []authn.Token{{Role: authn.RoleWrite}}, []authn.ClientName{{Role: authn.RoleWrite}}
	c.Vaults, c.Consumers, c.Policies = []Vault{DefaultVault()}, []authz.Consumer{{}}, []authz.Policy{authz.DefaultPolicy()}
	f := c.file()
	f.Vaults[0].Login.show(loginMethods()...)
	return f
}

func rows(b *strings.Builder, path string, v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		kind, effect, documented := strings.Cut(field.Tag.Get("doc"), ": ")
		value := v.Field(i)
		if value.Kind() == reflect.Pointer && value.IsNil() && value.Type().Elem().Kind() == reflect.Struct {
			value = reflect.New(value.Type().Elem())
		}
		switch {
		case name == "-": // of the admin API only
		case documented:
			fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", path, name, kind, defaultText(value), strings.ReplaceAll(effect, "|", `\|`))
		case value.Kind() == reflect.Slice:
			rows(b, path+name+"[].", value.Index(0))
		case field.Anonymous:
			rows(b, path, value)
		default:
			rows(b, path+name+".", reflect.Indirect(value))
		}
	}
}

// defaultText is empty for a number that is no pointer: 0 is how it is not given.
func defaultText(v reflect.Value) string {
	if v.Kind() == reflect.Int && v.IsZero() {
		return ""
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch value := v.Interface().(type) {
	case api.Ref:
		return ""
	case api.Names:
		return "`" + strings.Join(value, "`, `") + "`"
	case string, []string, tokenReference:
		if v.IsZero() {
			return ""
		}
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
