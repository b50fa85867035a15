package config

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A leaf is a setting of a file.
type leaf struct {
	// setting is like vaults[].cache.ttl.
	setting string
	value   reflect.Value
}

// leaves returns the settings of a file, those of each vault object.
func leaves(setting string, v reflect.Value) []leaf {
	var all []leaf
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		_, _, documented := strings.Cut(field.Tag.Get("doc"), ": ")
		switch {
		case name == "-": // of the admin API only
		case name == "token" && !v.FieldByName("Login").IsZero(): // a vault object has one of the two
		case documented:
			all = append(all, leaf{setting + name, value})
		case value.Kind() == reflect.Slice:
			for i := range value.Len() {
				all = append(all, leaves(setting+name+"[].", value.Index(i))...)
			}
		case value.Kind() == reflect.Pointer && value.IsNil():
		case field.Anonymous:
			all = append(all, leaves(setting, value)...)
		default:
			all = append(all, leaves(setting+name+".", reflect.Indirect(value))...)
		}
	}
	return all
}

// change gives a setting another value.
func change(t *testing.T, l leaf) {
	t.Helper()
	v := l.value
	if v.Kind() == reflect.Pointer {
		other := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			other.Elem().Set(v.Elem())
		}
		v.Set(other)
		v = other.Elem()
	}
	switch kind := v.Kind(); {
	case v.Type() == reflect.TypeFor[tokenReference]():
		v.Set(reflect.ValueOf(tokenReference{File: "/another"}))
	case v.Type() == reflect.TypeFor[api.Ref]():
		v.Set(reflect.ValueOf(api.Ref{Name: "another"}))
	case l.setting == "log.level" || l.setting == "log.decisions.level":
		v.SetString("error")
	case kind == reflect.String:
		v.SetString(v.String() + "x")
	case kind == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(v.Int() + int64(time.Second))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() ^ 2)
	case v.CanFloat():
		v.SetFloat(v.Float() + 1)
	case kind == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		v.Set(reflect.Append(v, reflect.ValueOf("another").Convert(v.Type().Elem())))
	default:
		t.Fatalf("%s: the test cannot change a %s", l.setting, v.Type())
	}
}

// restartable is the file of a service with a state, whose vault object is the first one, and
// with a vault object for each login.
func restartable() *file {
	f := everySetting()
	home := "home"
	f.State.Vault = &home
	f.Consumers[0].ID, f.Policies[0].Name, f.Policies[0].ACL = "alice", "orders", &api.PolicyACL{}
	f.Policies[0].Denial = &api.PolicyDenial{
		Unauthenticated: &api.PolicyUnauthenticated{}, Forbidden: &api.PolicyForbidden{}, Unavailable: &api.PolicyUnavailable{}, Body: &api.PolicyDenialBody{},
	}
	f.Admin.Tokens[0].Name, f.Admin.ClientNames[0].Name = "ops", "ops.example"
	all := f.Vaults[0].Login
	f.Vaults = nil
	for name, l := range map[string]loginSection{
		home: {}, "token": {}, "approle": {AppRole: all.AppRole}, "kubernetes": {Kubernetes: all.Kubernetes}, "jwt": {JWT: all.JWT},
		"cert": {Cert: all.Cert}, "userpass": {Userpass: all.Userpass},
	} {
		v := everySetting().Vaults[0]
		v.Name, v.Login = name, l
		f.Vaults = append(f.Vaults, v)
	}
	slices.SortFunc(f.Vaults, func(a, b vaultEntry) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// unchecked is the configuration of a file, valid or not.
func (f *file) unchecked() *Config {
	c := Default()
	f.apply(&c, nil)
	return &c
}

// paragraphs returns a section of docs/how-to/reload.md.
func paragraphs(t *testing.T, title string) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/how-to/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## "+title+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	if !found {
		t.Fatalf("docs/how-to/reload.md has no section %q", title)
	}
	return text
}

var quoted = regexp.MustCompile("`([a-z_.]+)`")

// covers says whether a text names a setting, or a section that it is in.
func covers(text, setting string) bool {
	for _, name := range quoted.FindAllStringSubmatch(text, -1) {
		if setting == name[1] || strings.HasPrefix(setting, name[1]+".") || strings.HasPrefix(setting, name[1]+"[") {
			return true
		}
	}
	return false
}

// TestEachSettingTakesEffectOrNeedsARestart changes one setting after the other. What a reload
// does with it is what docs/how-to/reload.md says.
func TestEachSettingTakesEffectOrNeedsARestart(t *testing.T) {
	t.Parallel()
	effective, restart := paragraphs(t, "What takes effect"), paragraphs(t, "What needs a restart")
	entity := regexp.MustCompile(`\[[^\]]*\]`)
	old := restartable().unchecked()
	seen := map[string]bool{}
	for i, l := range leaves("", reflect.ValueOf(restartable()).Elem()) {
		f := restartable()
		changed := leaves("", reflect.ValueOf(f).Elem())[i]
		change(t, changed)
		next := f.unchecked()
		found := old.Diff(next)
		// The state keeps its vault object.
		home := next.vault("home") == nil || !reflect.DeepEqual(*old.vault("home"), *next.vault("home"))
		needs := covers(restart, l.setting) || home && strings.HasPrefix(l.setting, "vaults[]")
		if !needs && !covers(effective, l.setting) || covers(restart, l.setting) && covers(effective, l.setting) {
			t.Errorf("%s: docs/how-to/reload.md has to say either that it takes effect or that it needs a restart", l.setting)
		}
		if len(found) == 0 {
			t.Errorf("%s: nobody hears that it has changed", l.setting)
		}
		for _, d := range found {
			// The vault object of the state under another name is a new one.
			if d.Restart != needs && d.Kind != Added {
				t.Errorf("%s: %+v, want restart %t", l.setting, d, needs)
			}
			if setting := entity.ReplaceAllString(d.Setting, "[]"); !strings.HasPrefix(l.setting, setting) && !strings.HasPrefix(setting, l.setting) {
				t.Errorf("%s: %+v has changed, too", l.setting, d)
			}
		}
		seen[l.setting] = true
	}
	known := map[string]bool{}
	for _, r := range row.FindAllStringSubmatch(Reference(), -1) {
		known[r[1]] = true
	}
	if !maps.Equal(seen, known) {
		t.Errorf("the settings are %v, want those of the reference: %v", slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(known)))
	}
}

// What a service shows reads as what it goes by, apart from secrets.
func TestWhatIsShownReadsAsWhatIsInUse(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"every part": full, "a running service": running} {
		used, err := Parse([]byte(strings.Replace(text, "{file: /token}", "{env: SECRET}", 1)), []string{"SECRET=hvs.secret", "VAULT_AUTHZ_DRAIN_WAIT=9s"})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := used.Show()
		if err != nil {
			t.Fatal(err)
		}
		c, err := Shown(shown)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, shown)
		}
		if found := c.Diff(&used); len(found) > 0 || c.Drain.Wait != 9*time.Second {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if _, err := Shown([]byte("lug: {}\n")); err == nil {
		t.Error("a setting of another version is ignored")
	}
}
