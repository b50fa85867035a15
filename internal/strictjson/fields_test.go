package strictjson_test

import (
	"testing"

	"github.com/vault-authz/vault-authz/internal/strictjson"
)

func TestFieldsAreAppendedInTheirOrder(t *testing.T) {
	t.Parallel()
	fields, err := strictjson.Fields([]strictjson.Field{{Name: []byte("b")}}, []byte(`{"b":1,"\u0061":"x","c":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range fields {
		got += string(f.Name) + "=" + string(f.Value) + ";"
	}
	if want := `b=;b=1;a="x";c={};`; got != want {
		t.Errorf("Fields = %s, want %s", got, want)
	}
}

// A caller that appends to a value must not change what follows it.
func TestValuesDoNotReachBeyondTheirEnd(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"a":1,"b":2}`)
	fields, err := strictjson.Fields(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(fields[0].Value, 'x')
	if string(raw) != `{"a":1,"b":2}` {
		t.Errorf("the object is %s now", raw)
	}
}

func TestFieldsOfASmallObjectTakeNoMemory(t *testing.T) {
	raw := []byte(`{"access_token":"foo","consumer":{"id":"x"},"ttl":60,"tags":["a","b"]}`)
	allocations := testing.AllocsPerRun(100, func() {
		var room [8]strictjson.Field
		if fields, err := strictjson.Fields(room[:0], raw); err != nil || len(fields) != 4 {
			t.Errorf("Fields = %d fields, %v, want 4", len(fields), err)
		}
	})
	if allocations != 0 {
		t.Errorf("%.0f allocations, want none", allocations)
	}
}
