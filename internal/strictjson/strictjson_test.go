package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// byTokens is Object one token at a time.
func byTokens(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') || !json.Valid(raw) {
		return nil, strictjson.ErrNotObject
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, strictjson.ErrNotObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, strictjson.ErrNotObject
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, strictjson.ErrDuplicate
		}
		fields[name.(string)] = value
	}
	return fields, nil
}

// FuzzObject compares Object with a reader of tokens, and Text of each value with
// encoding/json.
func FuzzObject(f *testing.F) {
	many := `{"17":17`
	for i := range 17 {
		many += fmt.Sprintf(`,"%d":%d`, i, i)
	}
	for _, seed := range []string{many + `}`, many + `,"3":0}`, "{\n}", "{\"a\":\t1e5\r,\"b\":[1 , 2] ,\"c\" :true}", `{"a":"\u00e9\ud83d\ude00\ud800","b":"é","c":"\"\\"}`, `{}`, ` {"a" : {"a:":[{"a":1},{"a":2}]}, "b\\" : ":\":" } `, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `[]`, `null`, `{"a":1}x`, "{\"\xff\":1,\"\xfe\":2}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, wantErr := byTokens(raw)
		got, err := strictjson.Object(raw)
		same := func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }
		if !errors.Is(err, wantErr) || !maps.EqualFunc(got, want, same) {
			t.Errorf("Object(%q) = %q, %v, want %q, %v", raw, got, err, want, wantErr)
		}
		for _, value := range got {
			var want string
			isText := value[0] == '"' && json.Unmarshal(value, &want) == nil
			if text, ok := strictjson.Text(value); text != want || ok != isText {
				t.Errorf("Text(%s) = %q, %t, want %q, %t", value, text, ok, want, isText)
			}
		}
	})
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
