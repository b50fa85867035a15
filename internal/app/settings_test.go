package app

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

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
	bs := newVaultBackends(newShared(), authz.NewDigester(), prometheus.NewRegistry(), zap.NewNop())
	set := func(wanted ...config.Vault) (sources map[string]authz.Source) {
		t.Helper()
		sources, retired, err := bs.set(wanted)
		if err != nil {
			t.Fatal(err)
		}
		bs.close(retired)
		return sources
	}
	defer set()
	v := DevConfig().Vaults[0]
	seen := 0
	for name := range fields(reflect.ValueOf(&v).Elem()) {
		if name == "Lost" {
			continue // then it is not open
		}
		first := set(v)
		before := bs.named(v.Name)
		if again := set(v); bs.named(v.Name) != before || first[v.Name] != again[v.Name] {
			t.Errorf("%s: without a change it was opened anew", name)
		}
		next := v
		change(t, name, fields(reflect.ValueOf(&next).Elem())[name])
		set(next)
		if b := bs.named(next.Name); b == before || b == nil || b.config != next {
			t.Errorf("%s: a change has no effect", name)
		}
		seen++
	}
	if seen < 25 {
		t.Errorf("%d settings, want all of them", seen)
	}
}

func TestAReloadAppliesTheSettingsOfTheLog(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	before := r.decisions.Load()
	r.write("log: {level: error}\n" + reloadable)
	r.settle()
	if level, configured, _ := r.replica.logs.Level().State(); level != zap.ErrorLevel || configured != zap.ErrorLevel {
		t.Errorf("level %s, configured %s, want error", level, configured)
	}
	if r.decisions.Load() != before {
		t.Error("the decision log was replaced without a change")
	}
	r.write("log: {level: error, allow_sample: 1}\n" + reloadable)
	r.settle()
	if r.decisions.Load() == before {
		t.Error("allow_sample has no effect")
	}
	r.replica.logs.Level().SetFor(zap.DebugLevel, time.Hour, nil)
	r.write("log: {level: warn}\n" + reloadable)
	r.settle()
	if level, configured, _ := r.replica.logs.Level().State(); level != zap.DebugLevel || configured != zap.WarnLevel {
		t.Errorf("level %s, configured %s, want that debug stays for its time, and then warn", level, configured)
	}
}

// TestMaxStaleOfTheStateFollowsTheFile: the state goes by the longest one of the vault objects.
func TestMaxStaleOfTheStateFollowsTheFile(t *testing.T) {
	t.Parallel()
	with := func(maxStale string) string {
		return "state: {vault: home, poll: 100ms}\n" + edited("vaults: [", `vaults: [{name: home, mount: home, address: "http://127.0.0.1:1", token: {file: /nowhere}, cache: {max_stale: 0s}}, `,
			"mount: memory", "mount: memory, cache: {max_stale: "+maxStale+"}")
	}
	r := startReloading(t, with("1h"))
	eventually(t, "requests are decided", func() bool { return r.demo().Allowed })
	r.from.kv.Fail(errors.New("down"))
	eventually(t, "a proof is long ago", func() bool { return r.store.Lag() > 2*time.Second })
	if a := r.demo(); !a.Allowed {
		t.Fatalf("with a max_stale of 1h: %+v", a)
	}
	r.write(with("1s"))
	r.settle()
	if a := r.demo(); a.Allowed || a.Status != 503 {
		t.Errorf("with a max_stale of 1s: %+v; the reload says %q", a, r.problem)
	}
	r.write(with("1h"))
	r.settle()
	if a := r.demo(); !a.Allowed {
		t.Errorf("with a max_stale of 1h again: %+v; the reload says %q", a, r.problem)
	}
}
