package vaultkv_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// seed adds what the store itself writes, and damages of it.
func seed(f *testing.F, path string) {
	f.Helper()
	kv := memkv.New()
	s, err := vaultkv.NewRecords(kv, vaultkv.DefaultRecordsConfig())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Create(f.Context(), consumer(1, 0, "username=alice")); err != nil {
		f.Fatal(err)
	}
	log, _ := newLog()
	c, err := vaultkv.NewChanges(kv, vaultkv.DefaultChangesConfig(), log)
	if err != nil {
		f.Fatal(err)
	}
	if err := c.Append(f.Context(), change(1), change(2)); err != nil {
		f.Fatal(err)
	}
	if !strings.Contains(path, "/") || strings.HasPrefix(path, "records/") {
		add(f, kv, path)
		return
	}
	names, _ := kv.ListUnder(f.Context(), path)
	if len(names) == 0 {
		f.Fatal("there is no seed")
	}
	for _, name := range names {
		add(f, kv, path+"/"+name)
	}
}

func add(f *testing.F, kv *memkv.Engine, path string) {
	f.Helper()
	raw, found, _ := kv.Read(f.Context(), path)
	if !found {
		f.Fatalf("there is no seed at %s", path)
	}
	for _, s := range []string{string(raw), string(raw[:len(raw)/2]), "{}", "[]", "", "null", `{"deleted":true}`, `{"last":-1,"epoch":"x"}`, `{"last":9e99,"epoch":"x"}`, `{"changes":null,"epoch":"x"}`} {
		f.Add([]byte(s))
	}
}

// FuzzDecodeChanges: what is a log has as many changes as its numbers say.
func FuzzDecodeChanges(f *testing.F) {
	seed(f, "changes")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l struct {
			Epoch   string
			Last    int
			Changes []json.RawMessage
		}
		parsed := json.Unmarshal(raw, &l)
		for _, last := range []int{0, l.Last - 1, l.Last, l.Last + 1, -1, 1 << 60} {
			n, ok, err := vaultkv.DecodeLog(raw, l.Epoch, last)
			if err != nil {
				continue
			}
			if parsed != nil {
				t.Fatalf("%q is no JSON, and a log", raw)
			}
			if ok && n != l.Last-last {
				t.Errorf("%q: %d changes after %d, want %d", raw, n, last, l.Last-last)
			}
		}
	})
}

// FuzzDecodeClaim: what is a claim of a key names nobody or a UUID.
func FuzzDecodeClaim(f *testing.F) {
	seed(f, "unique/consumers")
	f.Fuzz(func(t *testing.T, raw []byte) {
		id, err := vaultkv.DecodeClaim(raw, "username=alice")
		if err == nil && id != "" && !authz.IsUUID(id) || err != nil && id != "" {
			t.Errorf("%q names %q, %v", raw, id, err)
		}
		if _, err := vaultkv.DecodeClaim(raw, "username=bob"); err == nil && id != "" {
			t.Errorf("%q is a claim of two keys", raw)
		}
	})
}

// FuzzDecodeEntry: a record has a JSON object for a document.
func FuzzDecodeEntry(f *testing.F) {
	seed(f, "records/consumers/"+id(1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		document, err := vaultkv.DecodeEntry(raw)
		if err == nil && document != nil && (document[0] != '{' || !json.Valid(document)) {
			t.Errorf("%q has the document %q", raw, document)
		}
	})
}
