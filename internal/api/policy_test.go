package api

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
)

// changed is a policy in which no option has its zero value or its default.
func changed(t *testing.T) authz.Policy {
	t.Helper()
	var p authz.Policy
	change(t, reflect.ValueOf(&p).Elem(), reflect.ValueOf(authz.DefaultPolicy()))
	return p
}

func change(t *testing.T, v, d reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Pointer: // what a snapshot makes of the options
		case reflect.Bool:
			f.SetBool(!d.Field(i).Bool())
		case reflect.Int:
			f.SetInt(7)
		case reflect.String:
			f.SetString("some " + v.Type().Field(i).Name)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{v.Type().Field(i).Name}))
		case reflect.Struct:
			change(t, f, d.Field(i))
		default:
			t.Fatalf("an option is a %s", f.Kind())
		}
	}
}

func TestEveryOptionOfTheDecisionIsWrittenAndReadBack(t *testing.T) {
	t.Parallel()
	want := changed(t)
	p := PolicyOf(&want)
	if diff := cmp.Diff(want, p.Authz()); diff != "" {
		t.Errorf("options get lost: want (-) and got (+)\n%s", diff)
	}
	// The vault object goes by its id in the admin API.
	p.Vault = &Ref{ID: "an id"}
	fields := FieldsOf(DefaultPolicy())
	values := Values(fields, &p)
	if diff := cmp.Diff(p, Read[Policy](fields, values)); diff != "" {
		t.Errorf("values get lost: want (-) and got (+)\n%s", diff)
	}
}

func TestWhatAPolicyDoesNotSayHasItsDefault(t *testing.T) {
	t.Parallel()
	want := authz.DefaultPolicy()
	for name, p := range map[string]Policy{"nothing": {}, "an empty acl": {ACL: &PolicyACL{}}, "the defaults": DefaultPolicy()} {
		if diff := cmp.Diff(want, p.Authz()); diff != "" {
			t.Errorf("%s: want (-) and got (+)\n%s", name, diff)
		}
	}
	none := []string{}
	p := Policy{AccessTokenName: Names(none)}
	if got := p.Authz(); len(got.AccessTokenNames) != 0 {
		t.Errorf("an empty list became %q, want what is written", got.AccessTokenNames)
	}
}

// What is offered as a choice is what the decision accepts.
func TestChoicesAreThoseOfTheDecision(t *testing.T) {
	t.Parallel()
	choices := 0
	for _, f := range FieldsOf(DefaultPolicy()) {
		for _, choice := range f.OneOf {
			p := Policy{Name: "any", Vault: &Ref{Name: "any"}, AccessTokenName: Names{"authorization"}}
			if choice != string(authz.SchemeBearer) {
				p.AccessTokenName = nil
			}
			Set(&f, &p, choice)
			of := p.Authz()
			if err := of.Validate(); err != nil {
				t.Errorf("%s=%s: %v", f.Name, choice, err)
			}
			choices++
		}
		if len(f.OneOf) > 0 {
			p := Policy{Name: "any", Vault: &Ref{Name: "any"}}
			Set(&f, &p, "another")
			if of := p.Authz(); of.Validate() == nil {
				t.Errorf("%s: any word is accepted", f.Name)
			}
		}
	}
	if choices != 7 {
		t.Errorf("%d choices were tried, want 7", choices)
	}
}
