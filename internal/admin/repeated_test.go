package admin

import (
	"encoding/json"
	"testing"
)

// FuzzRepeatedName: what encoding/json writes has no name twice, and has one
// after a member is put in front of itself.
func FuzzRepeatedName(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"a":[{"a":1},{"a":2}]},"b":"a"}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `[[[]]]`, `{"":{"":{}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		object, err := decodeObject([]byte(body))
		if err != nil {
			return
		}
		once, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if repeatedName(once) {
			t.Errorf("%s has no name twice", once)
		}
		for name := range object {
			key, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			twice := "{" + string(key) + ":0," + string(once[1:])
			if !repeatedName([]byte(twice)) {
				t.Errorf("%s has a name twice", twice)
			}
		}
	})
}
