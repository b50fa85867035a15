package vaults

import (
	"reflect"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// change gives a field another value.
func change(t *testing.T, field string, v reflect.Value) {
	t.Helper()
	switch kind := v.Kind(); {
	case v.Type() == reflect.TypeFor[login.Method]():
		v.Set(reflect.ValueOf(login.AppRole{RoleID: "another"}))
	case kind == reflect.String:
		v.SetString(v.String() + "x")
	case kind == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(v.Int() + int64(time.Second))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanFloat():
		v.SetFloat(v.Float()/2 + 0.01) // some must stay below 0.5
	default:
		t.Fatalf("%s: the test cannot change a %s", field, v.Type())
	}
}

// fields returns all fields of a struct, and of the structs in it, by their names.
func fields(v reflect.Value) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	for i := range v.NumField() {
		if field, value := v.Type().Field(i).Name, v.Field(i); value.Kind() == reflect.Struct {
			for name, inner := range fields(value) {
				all[field+"."+name] = inner
			}
		} else {
			all[field] = value
		}
	}
	return all
}

// TestEachSettingOfAVaultObjectTakesEffect: a vault object is opened anew for each of them.
func TestEachSettingOfAVaultObjectTakesEffect(t *testing.T) {
	t.Parallel()
	bs, _ := newSet(t, memory{})
	set := func(wanted ...config.Vault) (sources map[string]authz.Source) {
		t.Helper()
		sources, _, err := bs.Replace(wanted)
		if err != nil {
			t.Fatal(err)
		}
		return sources
	}
	defer set()
	v := aVault("a")
	seen := 0
	for name := range fields(reflect.ValueOf(&v).Elem()) {
		if name == "Lost" {
			continue // then it is not open
		}
		first := set(v)
		before := bs.Named(v.Name)
		if again := set(v); bs.Named(v.Name) != before || first[v.Name] != again[v.Name] {
			t.Errorf("%s: without a change it was opened anew", name)
		}
		next := v
		change(t, name, fields(reflect.ValueOf(&next).Elem())[name])
		set(next)
		if b := bs.Named(next.Name); b == before || b == nil || b.config != next {
			t.Errorf("%s: a change has no effect", name)
		}
		seen++
	}
	if seen < 25 {
		t.Errorf("%d settings, want all of them", seen)
	}
}
