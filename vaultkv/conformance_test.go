package vaultkv_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// TestConformance is what every engine must do alike.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		conformance(t, memkv.New())
	})
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		for _, kv := range []string{"v1", "v2"} {
			t.Run(kv, func(t *testing.T) {
				srv.mount("kong-auth-"+kv, kv)
				v, _, _ := open(t, srv.Address, func(c *vaultkv.Config) {
					c.Token, c.Mount, c.KV, c.Timeout = srv.RootToken, "kong-auth-"+kv, kv, 20*time.Second
				})
				conformance(t, v)
				oldVersions(t, srv, v, kv)
				if err := v.Check(t.Context()); err != nil || v.State() != vaultkv.StateOK || !v.Ready() {
					t.Errorf("Check = %v, State = %s, Ready = %t, want nil, ok, true", err, v.State(), v.Ready())
				}
			})
			t.Run(kv+" in a folder of a mount that others use", func(t *testing.T) {
				conformanceInAFolder(t, srv, kv)
			})
		}
	})
}

// oldVersions: what earlier versions contain can be destroyed, and the current one stays
// unless it was deleted.
func oldVersions(t *testing.T, srv *server, v *vaultkv.Vault, kv string) {
	t.Helper()
	ctx := t.Context()
	const key = "with-versions"
	for range 3 {
		if err := v.Write(ctx, key, []byte(`{"note":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	want := []int{1, 2}
	if kv == vaultkv.KV1 {
		want = nil
	}
	old, err := v.OldVersions(ctx, key, 3)
	if err != nil || !slices.Equal(old, want) {
		t.Fatalf("OldVersions = %v, %v, want %v", old, err, want)
	}
	// A number of an earlier object under the key: the current version is not an old one.
	if old, err = v.OldVersions(ctx, key, 7); err != nil || !slices.Equal(old, want) {
		t.Errorf("OldVersions before 7 = %v, %v, want %v", old, err, want)
	}
	err = v.DestroyVersions(ctx, key, []int{1, 2})
	if kv == vaultkv.KV1 {
		if err == nil {
			t.Error("DestroyVersions = nil on KV v1, want an error")
		}
	} else if err != nil {
		t.Errorf("DestroyVersions = %v", err)
	}
	if old, err = v.OldVersions(ctx, key, 3); err != nil || len(old) != 0 {
		t.Errorf("OldVersions afterwards = %v, %v, want none", old, err)
	}
	if _, found, err := v.Read(ctx, key); err != nil || !found {
		t.Errorf("the current version: found = %t, %v", found, err)
	}
	for _, key := range []string{"never-written", "../" + key} {
		if old, err := v.OldVersions(ctx, key, 3); len(old) != 0 || strings.HasPrefix(key, "..") && kv == vaultkv.KV2 && err == nil {
			t.Errorf("OldVersions(%q) = %v, %v", key, old, err)
		}
	}
	if err := v.DestroyVersions(ctx, "../"+key, []int{1}); err == nil {
		t.Error("DestroyVersions of another folder = nil, want an error")
	}
	if kv == vaultkv.KV2 {
		srv.do(http.MethodDelete, "kong-auth-v2/data/"+key, nil)
		if old, err = v.OldVersions(ctx, key, 4); err != nil || !slices.Equal(old, []int{3}) {
			t.Errorf("OldVersions after a deletion that can be undone = %v, %v, want 3", old, err)
		}
		srv.do(http.MethodPut, "kong-auth-v2/undelete/"+key, map[string]any{"versions": []int{3}})
		if old, err = v.OldVersions(ctx, key, 4); err != nil || len(old) != 0 {
			t.Errorf("OldVersions after that was undone = %v, %v, want none", old, err)
		}
	}
	if err := v.Delete(ctx, key); err != nil {
		t.Error(err)
	}
	if err := v.Write(ctx, key, []byte(`{"note":1}`)); err != nil {
		t.Fatal(err)
	}
	if old, err = v.OldVersions(ctx, key, 4); err != nil || len(old) != 0 {
		t.Errorf("OldVersions of what was made again under the key = %v, %v, want none", old, err)
	}
	if err := v.Delete(ctx, key); err != nil {
		t.Error(err)
	}
}

// conformanceInAFolder: an engine whose prefix is a folder does all that one does
// which has a mount to itself, with what the policies of deploy/vault allow, and sees
// nothing of what lies above, beside and below.
func conformanceInAFolder(t *testing.T, srv *server, kv string) {
	t.Helper()
	mount, folder := "shared-"+kv, "team-a/kong-auth"
	srv.mount(mount, kv)
	put := func(key, body string) {
		if kv == "v2" {
			srv.do(http.MethodPost, mount+"/data/"+key, map[string]any{"data": json.RawMessage(body)})
			return
		}
		srv.do(http.MethodPost, mount+"/"+key, json.RawMessage(body))
	}
	others := []string{"", "team-a/", "team-a/other/", "team-b/kong-auth/", folder + "/below/"}
	for _, place := range others {
		put(place+accessToken, string(recordWith(`"note":"of others"`)))
		put(place+"of-others", string(recordWith()))
	}
	token, _ := srv.token(inFolder(t, "kv-"+kv+".hcl", mount, folder) + inFolder(t, "manage-"+kv+".hcl", mount, folder))
	v, _, _ := open(t, srv.Address, func(c *vaultkv.Config) {
		c.Token, c.Mount, c.Prefix, c.KV, c.Timeout = token, mount, folder, kv, 20*time.Second
	})
	conformance(t, v)
	if err := v.Check(t.Context()); err != nil || v.State() != vaultkv.StateOK || !v.Ready() {
		t.Errorf("Check = %v, State = %s, Ready = %t, want nil, ok, true", err, v.State(), v.Ready())
	}
	root, _, _ := open(t, srv.Address, func(c *vaultkv.Config) {
		c.Token, c.Mount, c.KV, c.Timeout = srv.RootToken, mount, kv, 20*time.Second
	})
	for _, place := range others {
		elsewhere := root
		if place != "" {
			elsewhere, _, _ = open(t, srv.Address, func(c *vaultkv.Config) {
				c.Token, c.Mount, c.Prefix, c.KV, c.Timeout = srv.RootToken, mount, strings.TrimSuffix(place, "/"), kv, 20*time.Second
			})
		}
		document, found, err := elsewhere.Read(t.Context(), accessToken)
		if err != nil || !found || !strings.Contains(string(document), "of others") {
			t.Errorf("what others have at %q: found = %t, %v, want it as it was", place+accessToken, found, err)
		}
	}
	for _, key := range []string{"../" + accessToken, "../../" + accessToken, "..", "below/" + accessToken, "%2e%2e/" + accessToken, "..%2f" + accessToken, "of-others"} {
		if _, found, err := v.Read(t.Context(), key); found || err == nil && key != "of-others" {
			t.Errorf("Read(%q): found = %t, %v, want an error", key, found, err)
		}
		if key == "of-others" {
			continue
		}
		if err := v.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) = nil, want an error", key)
		}
	}
	data, metadata, other := mount+"/", mount+"/", "v2"
	if kv == "v2" {
		data, metadata, other = mount+"/data/", mount+"/metadata/", "v1"
	}
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, data + accessToken, nil},
		{http.MethodGet, data + "team-a/" + accessToken, nil},
		{http.MethodGet, data + "team-b/kong-auth/" + accessToken, nil},
		{http.MethodGet, data + folder + "/below/" + accessToken, nil},
		{http.MethodGet, metadata + "?list=true", nil},
		{http.MethodGet, metadata + "team-a/?list=true", nil},
		{http.MethodGet, metadata + folder + "/below/?list=true", nil},
		{http.MethodPost, data + "team-a/" + accessToken, map[string]any{"data": map[string]any{}}},
		{http.MethodDelete, metadata + accessToken, nil},
		{http.MethodDelete, metadata + "team-a/other/" + accessToken, nil},
	} {
		if status := srv.status(token, call.method, call.path, call.body); status != http.StatusForbidden {
			t.Errorf("the token is answered %d for %s %s, want 403", status, call.method, call.path)
		}
	}
	wrong, store, logs := open(t, srv.Address, func(c *vaultkv.Config) {
		c.Token, c.Mount, c.Prefix, c.KV, c.Timeout = srv.RootToken, mount, folder, other, 20*time.Second
	})
	wantLookup(t, store, logs, authz.ErrUnavailable, "set kv: "+kv)
	wantState(t, wrong, vaultkv.StateWrongVersion)
	if kv == "v2" {
		// The state is beside the credentials, and in no folder.
		srv.mount("state", kv)
		srv.do(http.MethodPost, "state/data/changes", map[string]any{"data": map[string]any{"n": 1}})
		all, _, _ := open(t, srv.Address, func(c *vaultkv.Config) {
			c.Token, c.Mount, c.Prefix, c.KV, c.Timeout = srv.RootToken, mount, folder, kv, 20*time.Second
		})
		state, err := all.WithMount("state", "state", vaultkv.KV2, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, found, err := state.ReadVersion(t.Context(), "changes"); err != nil || !found {
			t.Errorf("the state beside it: found = %t, %v, want it found", found, err)
		}
	}
}

// inFolder is a policy of deploy/vault for a folder in a mount, changed by the command
// of docs/how-to/vault.md.
func inFolder(t *testing.T, file, mount, folder string) string {
	t.Helper()
	docs, err := os.ReadFile("../docs/how-to/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`sed -E '([^']+)'`).FindSubmatch(docs)
	if command == nil {
		t.Fatal("docs/how-to/vault.md has no command that changes a policy for a folder")
	}
	expression := strings.NewReplacer("MOUNT", mount, "PREFIX", folder).Replace(string(command[1]))
	out, err := exec.CommandContext(t.Context(), "sed", "-E", expression, "../deploy/vault/"+file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// keysOf returns the keys of an engine, sorted.
func keysOf(t *testing.T, kv vaultkv.Engine) (keys []string) {
	t.Helper()
	if err := kv.EachKey(t.Context(), func(key string) { keys = append(keys, key) }); err != nil {
		t.Errorf("EachKey = %v, want no error", err)
	}
	slices.Sort(keys)
	return keys
}

func conformance(t *testing.T, kv vaultkv.Engine) {
	t.Helper()
	ctx := t.Context()
	log, logs := newLog()
	digester := authz.NewDigester()
	s := record.NewSource("main", kv, digester, log)
	put := func(t *testing.T, key string, document []byte) {
		t.Helper()
		if err := kv.Write(ctx, key, document); err != nil {
			t.Fatalf("Write(%q) = %v, want no error", key, err)
		}
	}
	lookup := func(t *testing.T, key string, want error) authz.Credential {
		t.Helper()
		c, err := s.Lookup(ctx, key)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Fatalf("Lookup(%q) = %v, want %v", key, err, want)
		}
		wantNoTokens(t, err, logs)
		return c
	}

	t.Run("an empty mount has no keys", func(t *testing.T) {
		if keys := keysOf(t, kv); len(keys) != 0 {
			t.Errorf("EachKey gives %q, want none", keys)
		}
		lookup(t, accessToken, authz.ErrNotFound)
	})
	t.Run("an empty mount has no key to call for", func(t *testing.T) {
		if err := kv.EachKey(ctx, func(key string) { t.Errorf("EachKey: %q in an empty mount", key) }); err != nil {
			t.Errorf("EachKey = %v, want nil", err)
		}
	})
	t.Run("a record with everything is found", func(t *testing.T) {
		put(t, accessToken, recordWith(`"created_at":1764000000`, `"updated_at":1764000000`, `"ttl":86400`, `"note":{"x":[1,2.5,"y"]}`,
			`"previous_secret_token":"old"`, `"previous_expires_at":1795608000`, `"expires_at":"2030-01-02T03:04:05Z"`, `"not_before":"1764000000"`, `"disabled":true`))
		got := lookup(t, accessToken, nil)
		want := authz.Credential{
			AccessToken: accessToken, ConsumerID: consumerID, TTL: 24 * time.Hour, Disabled: true,
			Secret:            digester.Digest("main", accessToken, secretToken),
			Previous:          digester.Digest("main", accessToken, "old"),
			PreviousExpiresAt: time.Unix(1795608000, 0).UTC(),
			NotBefore:         time.Unix(1764000000, 0).UTC(),
			ExpiresAt:         time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Lookup (-want +got):\n%s", diff)
		}
	})
	t.Run("ttl as a numeric string", func(t *testing.T) {
		put(t, accessToken, recordWith(`"ttl":"3600"`))
		if got := lookup(t, accessToken, nil).TTL; got != time.Hour {
			t.Errorf("TTL = %s, want 1h", got)
		}
	})
	t.Run("a record under another key is malformed", func(t *testing.T) {
		put(t, "other", recordWith())
		lookup(t, "other", authz.ErrMalformed)
	})
	t.Run("keys are told apart by case", func(t *testing.T) {
		lookup(t, strings.ToLower(accessToken), authz.ErrNotFound)
		lookup(t, accessToken+".", authz.ErrNotFound)
	})
	for name, document := range map[string]string{
		"nothing of ours":    `{"note":1}`,
		"no secret":          `{"access_token":"bad","consumer":{"id":"` + consumerID + `"}}`,
		"secret of a number": `{"access_token":"bad","secret_token":5,"consumer":{"id":"` + consumerID + `"}}`,
		"consumer of text":   `{"access_token":"bad","secret_token":"` + secretToken + `","consumer":"{\"id\":\"` + consumerID + `\"}"}`,
		"consumer by name":   `{"access_token":"bad","secret_token":"` + secretToken + `","consumer":{"id":"alice"}}`,
		"limit of words":     `{"access_token":"bad","secret_token":"` + secretToken + `","consumer":{"id":"` + consumerID + `"},"expires_at":"` + secretToken + `"}`,
		"limit too large":    `{"access_token":"bad","secret_token":"` + secretToken + `","consumer":{"id":"` + consumerID + `"},"expires_at":1e300}`,
	} {
		t.Run("malformed: "+name, func(t *testing.T) {
			put(t, "bad", []byte(document))
			if c := lookup(t, "bad", authz.ErrMalformed); c != (authz.Credential{}) {
				t.Error("there is a credential beside the error")
			}
		})
	}
	t.Run("what is no JSON object is not written", func(t *testing.T) {
		for _, document := range []string{"", "x", "[]", `{"a":`} {
			if err := kv.Write(ctx, "nothing", []byte(document)); err == nil {
				t.Errorf("Write(%q) = nil, want an error", document)
			}
		}
	})
	t.Run("keys are listed", func(t *testing.T) {
		if diff := cmp.Diff([]string{"bad", "other", accessToken}, keysOf(t, kv)); diff != "" {
			t.Errorf("EachKey (-want +got):\n%s", diff)
		}
	})
	t.Run("deleted is not found", func(t *testing.T) {
		for range 2 {
			if err := kv.Delete(ctx, accessToken); err != nil {
				t.Fatalf("Delete = %v, want no error", err)
			}
			lookup(t, accessToken, authz.ErrNotFound)
		}
		if keys := keysOf(t, kv); slices.Contains(keys, accessToken) {
			t.Errorf("EachKey after Delete gives %q", keys)
		}
		put(t, accessToken, recordWith())
		lookup(t, accessToken, nil)
	})
}

// TestRealServer is what only a server can do: deletions of KV v2, refusals,
// wrong mounts.
func TestRealServer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mount("one", "v1")
		srv.mount("two", "v2")
		srv.do(http.MethodPost, "one/"+accessToken, json.RawMessage(recordWith()))
		with := func(mount, kv, token string) func(*vaultkv.Config) {
			return func(c *vaultkv.Config) { c.Mount, c.KV, c.Token, c.Timeout = mount, kv, token, 20*time.Second }
		}

		t.Run("deleted and destroyed versions are not found", func(t *testing.T) {
			_, s, logs := open(t, srv.Address, with("two", "v2", srv.RootToken))
			srv.do(http.MethodPost, "two/data/"+accessToken, map[string]any{"data": json.RawMessage(recordWith())})
			wantLookup(t, s, logs, nil, "")
			srv.do(http.MethodDelete, "two/data/"+accessToken, nil)
			wantLookup(t, s, logs, authz.ErrNotFound, "")
			srv.do(http.MethodPost, "two/undelete/"+accessToken, map[string]any{"versions": []int{1}})
			wantLookup(t, s, logs, nil, "")
			srv.do(http.MethodPut, "two/destroy/"+accessToken, map[string]any{"versions": []int{1}})
			wantLookup(t, s, logs, authz.ErrNotFound, "")
			srv.do(http.MethodPost, "two/data/"+accessToken, map[string]any{"data": json.RawMessage(recordWith())})
			wantLookup(t, s, logs, nil, "")
		})
		t.Run("a missing mount is unavailable", func(t *testing.T) {
			for _, kv := range []string{"v1", "v2"} {
				v, s, logs := open(t, srv.Address, with("none", kv, srv.RootToken))
				wantLookup(t, s, logs, authz.ErrUnavailable, `no KV engine at mount "none"`)
				wantState(t, v, vaultkv.StateNoMount)
			}
		})
		t.Run("the other KV version is unavailable", func(t *testing.T) {
			v, s, logs := open(t, srv.Address, with("two", "v1", srv.RootToken))
			wantLookup(t, s, logs, authz.ErrUnavailable, "set kv: v2")
			wantState(t, v, vaultkv.StateWrongVersion)

			// A v1 mount tells nothing; only the check does.
			v, s, logs = open(t, srv.Address, with("one", "v2", srv.RootToken))
			if err := v.Check(t.Context()); err == nil {
				t.Error("Check = nil, want an error")
			}
			wantLookup(t, s, logs, authz.ErrUnavailable, "set kv: v1")
			wantState(t, v, vaultkv.StateWrongVersion)
			// A probe may have opened the circuit breaker meanwhile, which is a line of its own.
			if n := logs.Len() - logs.FilterMessage("vault circuit breaker opened").Len(); n != 1 {
				t.Errorf("log:\n%s\nwant one line about the state", strings.Join(lines(logs), "\n"))
			}
		})
		t.Run("the other KV version is named where the policies are those for it", func(t *testing.T) {
			for _, tt := range []struct{ mount, is, set, policy string }{
				{"one", "v1", "v2", `path "one/+" { capabilities = ["read"] } path "one/" { capabilities = ["list"] }`},
				{"two", "v2", "v1", `path "two/data/+" { capabilities = ["read"] } path "two/metadata/" { capabilities = ["list"] }`},
			} {
				token, _ := srv.token(tt.policy)
				v, s, logs := open(t, srv.Address, with(tt.mount, tt.set, token))
				want := fmt.Sprintf("mount %q is KV %s, and the configuration says %s; set kv: %s", tt.mount, tt.is, tt.set, tt.is)
				wantLookup(t, s, logs, authz.ErrUnavailable, want)
				wantState(t, v, vaultkv.StateWrongVersion)
				for name, err := range map[string]error{
					"Check": v.Check(t.Context()), "EachKey": v.EachKey(t.Context(), func(string) {}),
					"Write": v.Write(t.Context(), accessToken, recordWith()), "Delete": v.Delete(t.Context(), accessToken),
				} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s = %v, want %s", name, err, want)
					}
				}
			}
		})
		t.Run("both KV versions are named where the server does not tell", func(t *testing.T) {
			token, _ := srv.token(`path "elsewhere/*" { capabilities = ["read"] }`)
			for _, tt := range []struct{ mount, kv, path, other string }{{"two", "v1", "two/+", "v2"}, {"one", "v2", "one/data/+", "v1"}, {"none", "v1", "none/+", "v2"}} {
				v, s, logs := open(t, srv.Address, with(tt.mount, tt.kv, token))
				wantLookup(t, s, logs, authz.ErrUnavailable, fmt.Sprintf("if it is KV %s, add to one of them: path %q { capabilities = [\"read\"] }, and what else of deploy/vault/kv-%s.hcl is missing; if it is KV %s, set kv: %s", tt.kv, tt.path, tt.kv, tt.other, tt.other))
				wantState(t, v, vaultkv.StateForbidden)
			}
		})
		t.Run("only the line is named where the KV version is right", func(t *testing.T) {
			token, _ := srv.token(`path "two/metadata/" { capabilities = ["list"] }`)
			v, s, logs := open(t, srv.Address, with("two", "v2", token))
			wantLookup(t, s, logs, authz.ErrUnavailable, `do not cover this in mount "two"; add to one of them: path "two/data/+" { capabilities = ["read"] }`)
			if _, err := s.Lookup(t.Context(), accessToken); strings.Contains(err.Error(), "set kv") {
				t.Errorf("Lookup = %v, want no word of the other version", err)
			}
			wantState(t, v, vaultkv.StateForbidden)
		})
		t.Run("a state of KV v1 is told to be on KV v2", func(t *testing.T) {
			for name, token := range map[string]string{"root": srv.RootToken, "policies for v2": func() string {
				token, _ := srv.token(`path "one/data/*" { capabilities = ["read", "create", "update"] }`)
				return token
			}()} {
				v, _, _ := open(t, srv.Address, with("two", "v2", token))
				log, _ := newLog()
				state, err := v.WithMount("state", "one", vaultkv.KV2, log)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, _, err := state.ReadVersion(t.Context(), "changes"); err == nil || !strings.Contains(err.Error(), `mount "one" is KV v1, and the state needs KV v2`) {
					t.Errorf("with %s: ReadVersion = %v, want it to say that the state needs KV v2", name, err)
				}
			}
		})
		t.Run("a token that is not known is unavailable", func(t *testing.T) {
			v, s, logs := open(t, srv.Address, with("one", "v1", vaultToken))
			wantLookup(t, s, logs, authz.ErrUnavailable, "does not accept the Vault token")
			wantState(t, v, vaultkv.StateTokenRejected)
			if v.Ready() {
				t.Error("Ready() = true with a token that is not taken")
			}
		})
		t.Run("a policy that does not cover the mount is unavailable", func(t *testing.T) {
			token, _ := srv.token(`path "two/*" { capabilities = ["read"] }`)
			v, s, logs := open(t, srv.Address, with("one", "v1", token))
			wantLookup(t, s, logs, authz.ErrUnavailable, `path "one/+"`)
			wantState(t, v, vaultkv.StateForbidden)
			wantNoTokens(t, nil, logs, token)
		})
		t.Run("the policy that the message names is enough", func(t *testing.T) {
			for kv, policy := range map[string]string{"v1": "one/+", "v2": "two/data/+"} {
				token, _ := srv.token(`path "` + policy + `" { capabilities = ["read"] }`)
				v, s, logs := open(t, srv.Address, with(strings.Split(policy, "/")[0], kv, token))
				if err := v.Check(t.Context()); err != nil {
					t.Errorf("Check = %v, want no error", err)
				}
				wantLookup(t, s, logs, nil, "")
			}
		})
		t.Run("a rotated token file works without a restart", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			policy := `path "one/+" { capabilities = ["read"] }`
			first, accessor := srv.token(policy)
			second, _ := srv.token(policy)
			writeFile(t, file, first+"\n")
			v, s, logs := open(t, srv.Address, func(c *vaultkv.Config) {
				with("one", "v1", "")(c)
				c.TokenFile = file
			})
			wantLookup(t, s, logs, nil, "")
			srv.do(http.MethodPost, "auth/token/revoke-accessor", map[string]string{"accessor": accessor})
			wantLookup(t, s, logs, authz.ErrUnavailable, file)
			wantState(t, v, vaultkv.StateTokenRejected)
			writeFile(t, file, second+"\n")
			// A probe with the first token may have opened the circuit breaker.
			wait(t, "a lookup with the second token", func() error {
				_, err := s.Lookup(t.Context(), accessToken)
				return err
			})
			wantState(t, v, vaultkv.StateOK)
			wantNoTokens(t, nil, logs, first, second)
		})
	})
}

// TestRealServerGoesAwayAndComesBack seals, slows and stops a server.
func TestRealServerGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mount("one", "v1")
		srv.do(http.MethodPost, "one/"+accessToken, json.RawMessage(recordWith()))
		slow, proxy := slowProxy(t, srv.Address)
		v, s, logs := open(t, proxy, func(c *vaultkv.Config) {
			c.Mount, c.Token, c.Timeout = "one", srv.RootToken, 2*time.Second
		})
		wantLookup(t, s, logs, nil, "")

		if err := srv.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLookup(t, s, logs, authz.ErrUnavailable, "sealed")
		wantState(t, v, vaultkv.StateSealed)
		if err := srv.Unseal(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, "a lookup after the unsealing", func() error {
			_, err := s.Lookup(t.Context(), accessToken)
			return err
		})
		wantState(t, v, vaultkv.StateOK)

		slow.Store(true)
		begin := time.Now()
		wantLookup(t, s, logs, authz.ErrUnavailable, "no answer")
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("a lookup took %s with a timeout of 2s", took)
		}
		wantState(t, v, vaultkv.StateUnreachable)
		slow.Store(false)
		wantLookup(t, s, logs, nil, "")

		direct, store, logs := open(t, srv.Address, func(c *vaultkv.Config) { c.Mount, c.Token = "one", srv.RootToken })
		wantLookup(t, store, logs, nil, "")
		srv.Kill()
		wait(t, "the server to be gone", func() error {
			if _, err := store.Lookup(t.Context(), accessToken); err == nil {
				return errors.New("it still answers")
			}
			return nil
		})
		wantLookup(t, store, logs, authz.ErrUnavailable, "refuses the connection")
		wantState(t, direct, vaultkv.StateUnreachable)
		if !direct.Ready() {
			t.Error("Ready() = false after the server went away, want it to stay true")
		}
		wantNoTokens(t, nil, logs, srv.RootToken)
	})
}

// slowProxy passes requests on to address, and lets them hang while slow is set.
func slowProxy(t *testing.T, address string) (slow *atomic.Bool, proxied string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = transport
	slow = new(atomic.Bool)
	return slow, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

func wantLookup(t *testing.T, s *record.Source, logs *observer.ObservedLogs, want error, text string) {
	t.Helper()
	c, err := s.Lookup(t.Context(), accessToken)
	if want == nil && (err != nil || c.AccessToken != accessToken) || !errors.Is(err, want) {
		t.Fatalf("Lookup = %v, want %v", err, want)
	}
	if err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("Lookup = %q, want it to say %q", err, text)
	}
	wantNoTokens(t, err, logs)
}

func wantState(t *testing.T, v *vaultkv.Vault, want vaultkv.State) {
	t.Helper()
	if got := v.State(); got != want {
		t.Errorf("State() = %s, want %s", got, want)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
