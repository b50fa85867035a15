package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/api"
)

// Reference returns the table of all settings in Markdown. A test holds the
// copy in docs/reference/configuration.md to it.
func Reference() string {
	var b strings.Builder
	b.WriteString("| setting | kind | default | effect |\n|---|---|---|---|\n")
	rows(&b, "", reflect.ValueOf(everySetting()))
	return b.String()
}

// everySetting returns a file with the default of each setting, and one element in each list
// of sections.
func everySetting() file {
	c := Default()
	v := DefaultVault()
	f := file{
		Listen: listenSection{&c.Listen.GRPC, &c.Listen.Probes, (*mode)(&c.Listen.SocketMode), &c.Listen.SocketGroup},
		Log:    showLog(&c.Log),
		GRPC:   showGRPC(&c.GRPC),
		Probes: probesSection{showTLS(&c.Probes.TLS.Listener), nil},
		Debug:  debugSection{&c.Debug.Enabled, &c.Debug.Remote},
		Drain:  drainSection{&c.Drain.Wait, &c.Drain.Timeout},
		Tokens: tokensSection{&c.Grammar.MaxLength, &c.Grammar.ExtraCharacters},
		Admin:  showAdmin(&c.Admin), State: stateSection{&c.State.Vault, &c.State.Mount, &c.State.Poll},
		Vaults: []vaultEntry{showVault(&v)}, Consumers: []api.Consumer{{}}, Policies: []api.Policy{api.DefaultPolicy()},
	}
	role := string(admin.RoleWrite)
	f.Admin.Tokens, f.Admin.ClientNames = []tokenEntry{{Role: &role}}, []clientEntry{{Role: &role}}
	f.Vaults[0].Login = everyLogin()
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
