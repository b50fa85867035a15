package credential

import (
	"maps"
	"reflect"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// FuzzHashingARecord: hashing changes no field but those of the secrets, and no secret but
// in its form; afterwards each one that was good is there as its hash alone; and hashing
// again changes nothing.
func FuzzHashingARecord(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"foo","secret_token":"s","consumer":{"id":"x"},"ttl":5}`, `{"secret_token_sha256":"` + "043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89" + `"}`, `{}`,
		`{"secret_token":"s","previous_secret_token":"p","previous_expires_at":1}`, `{"secret_token":"s","secret_token_sha256":"x"}`,
		`{"secret_token":"","previous_secret_token":5}`, `{"secret_token":"s","previous_secret_token":""}`, `{"secret_token":null,"secret_token_sha256":null}`, `{"secret_token":["s"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before, err := schema.Decode(raw)
		if err != nil {
			return
		}
		d := maps.Clone(before)
		Hash(d)
		for _, name := range []string{CurrentSecret, PreviousSecret} {
			was, good := hashOf(before, name)
			is, known := hashOf(d, name)
			if was != is || good != known {
				t.Fatalf("%q: the secret in %s is another one after hashing", raw, name)
			}
			if good && (d[name] != nil || d.Text(name+hashSuffix) == "") {
				t.Fatalf("%q: the secret in %s is not hashed", raw, name)
			}
			if name == PreviousSecret && before[name] == "" && before[name+hashSuffix] == nil {
				delete(before, name) // it is none
			}
			if !good && (!reflect.DeepEqual(d[name], before[name]) || !reflect.DeepEqual(d[name+hashSuffix], before[name+hashSuffix])) {
				t.Fatalf("%q: what is no secret in %s has changed", raw, name)
			}
		}
		again := maps.Clone(d)
		Hash(again)
		if !reflect.DeepEqual(d, again) {
			t.Fatalf("%q: hashing again changes it", raw)
		}
		for _, name := range []string{CurrentSecret, PreviousSecret} {
			Forget(d, name)
			Forget(before, name)
		}
		if !reflect.DeepEqual(d, before) {
			t.Fatalf("%q: hashing changes more than the secrets", raw)
		}
	})
}
