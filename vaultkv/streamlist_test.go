package vaultkv_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestListOfAllKeysIsCompleteOrAnError: who goes by the list drops what is not
// in it.
func TestListOfAllKeysIsCompleteOrAnError(t *testing.T) {
	t.Parallel()
	good := `{"request_id":"x","lease_id":"","renewable":false,"data":{"keys":["a","folder/","b"]},"wrap_info":null,"warnings":null}`
	tests := []struct {
		name    string
		kv      string
		handler http.HandlerFunc
		want    []string
		problem string // "" for none
	}{
		{"keys, folders left out", "v1", answer(200, good), []string{"a", "b"}, ""},
		{"no key", "v1", answer(200, `{"data":{"keys":[]}}`), nil, ""},
		{"an empty mount", "v1", answer(404, `{"errors":[]}`), nil, ""},
		{"an empty mount of v2", "v2", mounts(`{"type":"kv","options":{"version":"2"}}`, answer(404, `{"errors":[]}`)), nil, ""},
		{"v2 that is v1", "v2", mounts(`{"type":"kv","options":{"version":"1"}}`, answer(404, `{"errors":[]}`)), nil, "is KV v1"},
		{"v1 that is v2", "v1", answer(404, `{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine"]}`), nil, "is KV v2"},
		{"the mount is gone", "v1", answer(404, `{"errors":["no handler for route \"kong-auth/\". route entry not found."]}`), nil, "no KV engine"},
		{"a 404 of somebody else", "v1", answer(404, `not found`), nil, "does not answer like Vault"},
		{"sealed", "v1", answer(503, `{"errors":["Vault is sealed"]}`), nil, "sealed"},
		{"limited", "v1", answer(429, `{"errors":["request path kong-auth: rate limit quota exceeded"]}`), nil, "429"},
		{"nobody's page", "v1", answer(200, `<html>`), nil, "does not answer like Vault"},
		{"no list", "v1", answer(200, `{"data":{"foo":"bar"}}`), nil, "does not answer like Vault"},
		{"data null", "v1", answer(200, `{"data":null}`), nil, "does not answer like Vault"},
		{"keys of another kind", "v1", answer(200, `{"data":{"keys":["a",1]}}`), nil, "does not answer like Vault"},
		{"something after it", "v1", answer(200, good+`{}`), nil, "does not answer like Vault"},
		{"an end too early", "v1", answer(200, good[:80]), nil, "before its answer was complete"},
		{"a connection that is cut", "v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2000")
			_, _ = w.Write([]byte(good[:80]))
		}, nil, "before its answer was complete"},
		{"too long", "v1", answer(200, `{"data":{"keys":["`+strings.Repeat("a", 4096)+`"]}}`), nil, "spread the credentials over several mounts"},
		{"too long, and says so", "v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write([]byte(strings.Repeat(" ", 4000)))
		}, nil, "spread the credentials over several mounts"},
		{"an error as long as a list may be", "v1", answer(500, strings.Repeat("x", 1<<20)), nil, "longer than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v, _, logs := open(t, fake(t, test.handler), func(c *vaultkv.Config) { c.KV = test.kv })
			v.SetAnswerBytes(4096)
			v.SetListBytes(3000)
			var got []string
			err := v.EachKey(t.Context(), func(key string) { got = append(got, key) })
			switch {
			case test.problem == "" && (err != nil || !slices.Equal(got, test.want)):
				t.Errorf("EachKey = %q, %v, want %q", got, err, test.want)
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
				t.Errorf("EachKey = %v, want an error with %q", err, test.problem)
			}
			wantNoTokens(t, err, logs)
		})
	}
}

// mounts answers what kind a mount is of, and leaves the rest to next.
func mounts(kind string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/") {
			_, _ = fmt.Fprintf(w, `{"data":%s}`, kind)
			return
		}
		next(w, r)
	}
}

func TestListMayBeLongerThanARecord(t *testing.T) {
	t.Parallel()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("%032d", i)
	}
	body, err := json.Marshal(map[string]any{"data": map[string]any{"keys": keys}})
	if err != nil {
		t.Fatal(err)
	}
	v, _, _ := open(t, fake(t, answer(200, string(body))), func(c *vaultkv.Config) { c.KV = vaultkv.KV2 })
	v.SetAnswerBytes(4096)
	count := 0
	if err := v.EachKey(t.Context(), func(string) { count++ }); err != nil || count != len(keys) {
		t.Errorf("EachKey: %d keys, %v, want %d", count, err, len(keys))
	}
	if _, err := v.ListUnder(t.Context(), "records"); err == nil {
		t.Error("ListUnder accepted an answer that is too long")
	}
}

// The whole list of a large mount takes longer than one record may.
func TestListMayTakeLongerThanARecord(t *testing.T) {
	t.Parallel()
	v, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"data":{"keys":["a",`))
		w.(http.Flusher).Flush() //nolint:forcetypeassert // a test may panic
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
		}
		_, _ = w.Write([]byte(`"b"]}}`))
	}), func(c *vaultkv.Config) { c.Timeout = 50 * time.Millisecond })
	var keys []string
	if err := v.EachKey(t.Context(), func(key string) { keys = append(keys, key) }); err != nil || !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("EachKey = %q, %v, want a and b", keys, err)
	}
	began := time.Now()
	if _, err := s.Lookup(t.Context(), accessToken); err == nil || time.Since(began) > 250*time.Millisecond {
		t.Errorf("Lookup = %v after %s, want an error within the timeout of 50ms", err, time.Since(began))
	}
}

// The health is about reading: a token that must not list is none the worse for
// that.
func TestListThatFailsDoesNotChangeTheState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kv, want string }{
		{"v1", `path "kong-auth/" { capabilities = ["list"] }`},
		{"v2", `path "kong-auth/metadata/" { capabilities = ["list"] }`},
	} {
		t.Run(test.kv, func(t *testing.T) {
			t.Parallel()
			v, s, logs := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Query().Get("list") != "":
					answer(403, `{"errors":["permission denied"]}`)(w, r)
				case strings.HasSuffix(r.URL.Path, "lookup-self"):
					answer(200, `{"data":{}}`)(w, r)
				default:
					mounts(`{"type":"kv","options":{"version":"`+test.kv[1:]+`"}}`, answer(404, `{"errors":[]}`))(w, r)
				}
			}), func(c *vaultkv.Config) { c.KV, c.Mount = test.kv, "kong-auth" })
			_, _ = s.Lookup(t.Context(), accessToken)
			if got := v.State(); got != vaultkv.StateOK {
				t.Fatalf("State = %s before the list, want ok", got)
			}
			err := v.EachKey(t.Context(), func(string) {})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("EachKey = %v, want an error with %s", err, test.want)
			}
			if got := v.State(); got != vaultkv.StateOK {
				t.Errorf("State = %s after the list, want ok", got)
			}
			wantNoTokens(t, err, logs)
		})
	}
}

// TestListNeedsOnlyItsLine: what the message says is enough, on a real server.
func TestListNeedsOnlyItsLine(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		for kv, path := range map[string]string{"v1": "list-v1/", "v2": "list-v2/metadata/"} {
			mount := "list-" + kv
			srv.mount(mount, kv)
			reading, _ := srv.token(`path "list-v1/+" { capabilities = ["read"] } path "list-v2/data/+" { capabilities = ["read"] }`)
			listing, _ := srv.token(`path "` + path + `" { capabilities = ["list"] }`)
			at := func(token string) *vaultkv.Vault {
				v, _, _ := open(t, srv.Address, func(c *vaultkv.Config) {
					c.Token, c.Mount, c.KV, c.Timeout = token, mount, kv, 20*time.Second
				})
				return v
			}
			if err := at(srv.RootToken).Write(t.Context(), "foo", []byte(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			err := at(reading).EachKey(t.Context(), func(string) {})
			if want := fmt.Sprintf("path %q { capabilities = [\"list\"] }", path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: EachKey without the line = %v, want an error with %s", kv, err, want)
			}
			var keys []string
			if err := at(listing).EachKey(t.Context(), func(key string) { keys = append(keys, key) }); err != nil || !slices.Equal(keys, []string{"foo"}) {
				t.Errorf("%s: EachKey with the line = %q, %v, want foo", kv, keys, err)
			}
		}
	})
}

// FuzzKeysIn: what is taken for a list is one for encoding/json too, with the
// same keys.
func FuzzKeysIn(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"keys":["a","b/"]}}`, `{"data":{"keys":[]},"data":{"keys":["c"]}}`, `{"data":{"keys":["a"`, `{"data":null}`, `[]`, `{"data":{"keys":["\u0061"],"key_info":{"a":[1]}}} `,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		seen := map[string]bool{}
		if vaultkv.KeysIn(strings.NewReader(body), func(key string) { seen[key] = true }) != nil {
			return
		}
		var a struct {
			Data struct {
				Keys []string `json:"keys"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatalf("%q is taken for a list, and is no JSON: %v", body, err)
		}
		for _, key := range a.Data.Keys {
			if key != "" && !strings.HasSuffix(key, "/") && !seen[key] {
				t.Errorf("%q: the key %q is left out", body, key)
			}
		}
	})
}
