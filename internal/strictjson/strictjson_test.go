package strictjson_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/vault-authz/vault-authz/internal/strictjson"
)

func TestObjectHasItsFieldsByTheirExactNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		raw   string
		names []string
		err   error
	}{
		{`{}`, nil, nil},
		{` {"a":1,"A":{"a":1,"a":2}} `, []string{"A", "a"}, nil},
		{`{"a":1,"a":2}`, nil, strictjson.ErrDuplicate},
		{`{"\u0061":1,"a":2}`, nil, strictjson.ErrDuplicate},
		{`{"a":1`, nil, strictjson.ErrNotObject},
		{`{"a":1} {}`, nil, strictjson.ErrNotObject},
		{`{"a":1}x`, nil, strictjson.ErrNotObject},
		{`{1:1}`, nil, strictjson.ErrNotObject},
		{`[]`, nil, strictjson.ErrNotObject},
		{`null`, nil, strictjson.ErrNotObject},
		{`"a"`, nil, strictjson.ErrNotObject},
		{``, nil, strictjson.ErrNotObject},
	} {
		got, err := strictjson.Object([]byte(tt.raw))
		if names := slices.Sorted(maps.Keys(got)); !errors.Is(err, tt.err) || !slices.Equal(names, tt.names) {
			t.Errorf("Object(%s) = %q, %v, want %q, %v", tt.raw, names, err, tt.names, tt.err)
		}
	}
}

// What encoding/json writes has no name twice, and has one after a field is put in front
// of itself.
func FuzzHasDuplicate(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"a":[{"a":1},{"a":2}]},"b":"a"}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `[[[]]]`, `{"":{"":{}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var object map[string]any
		if json.Unmarshal([]byte(body), &object) != nil || object == nil {
			return
		}
		once, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if strictjson.HasDuplicate(once) {
			t.Errorf("%s has no name twice", once)
		}
		if _, err := strictjson.Object(once); err != nil {
			t.Errorf("Object(%s) = %v", once, err)
		}
		for name := range object {
			key, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			twice := []byte("{" + string(key) + ":0," + string(once[1:]))
			if !strictjson.HasDuplicate(twice) {
				t.Errorf("%s has a name twice", twice)
			}
			if _, err := strictjson.Object(twice); !errors.Is(err, strictjson.ErrDuplicate) {
				t.Errorf("Object(%s) = %v, want %v", twice, err, strictjson.ErrDuplicate)
			}
		}
	})
}
