package admin

import (
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
)

// Whatever is sent to whichever route: no panic, no 500 without a logged cause,
// and no answer or log line with a secret that is stored.
func FuzzEveryRouteWithRandomBodies(f *testing.F) {
	routes := newBench(f).api.routes()
	if len(routes) < 40 {
		f.Fatalf("got %d routes, want all of them", len(routes))
	}
	types := []string{typeJSON, typeForm, typeMultipart + "; boundary=x", "text/plain", ""}
	bodies := []string{
		`{}`, `{"token":{},"vault_token":{}}`, `{"config":{"vault":{"id":"` + someID + `"}},"name":"vault-auth"}`, `{"consumer":{"id":5}}`,
		"name=acl&config.allow[]=a&config.allow[70000]=b", "config=x&config.vault.id=y", "ttl=5&disabled=true", "grace=0&secret_token=x",
		"host=evil&vault_token=[redacted]", multipartBody, `{"tags":[[]],"username":{"a":[1,2e400]}}`, `{"name":"x","vault":"kong-auth","hosts":["*."],"acl":{"allow":[","]}}`,
		`{"name":"x","vault":"kong-auth","hosts":["a:*","*.b"],"paths":["/A","/a."],"ignore_case":true,"priority":-3,"default":false}`,
	}
	seeds := 0
	for i := range routes {
		// A third of the bodies each, so that there is time left to fuzz.
		for j := i % 3; j < len(bodies); j += 3 {
			contentType := 1
			if strings.HasPrefix(bodies[j], "{") {
				contentType = 0
			} else if strings.HasPrefix(bodies[j], "--x") {
				contentType = 2
			}
			f.Add(uint8(i), uint8(contentType), "alice", "?size=1&tags=a,b&offset=eA", bodies[j])
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("there are no seeds")
	}
	const secret = "supersecretvalue9"
	f.Fuzz(func(t *testing.T, routeNumber, typeNumber uint8, name, query, body string) {
		if strings.Contains(name+query+body, secret) || strings.Contains(name+query+body, vaultToken) {
			t.Skip("who sends a secret may get it back")
		}
		b := furnished(t)
		b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token="+secret))
		b.must(201, b.form("POST", "/plugins", "name=vault-auth&config.vault.name=kong-auth"))
		b.must(201, b.form("POST", "/consumers/alice/acls", "group=alice"))
		route := routes[int(routeNumber)%len(routes)]
		path := strings.NewReplacer("{vault}", "kong-auth", "{access_token}", "foo", "{consumer}", "alice", "{plugin}", "vault-auth").Replace(route.pattern)
		target := strings.NewReplacer("{id}", url.PathEscape(name), "{acl}", url.PathEscape(name)).Replace(path)
		r := httptest.NewRequest(route.method, "http://localhost"+target, strings.NewReader(body))
		r.URL.RawQuery = strings.TrimPrefix(query, "?")
		r.Header.Set("Content-Type", types[int(typeNumber)%len(types)])
		w := httptest.NewRecorder()
		b.api.ServeHTTP(w, r)
		raw, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code >= 500 && b.log.Len() == 0 {
			t.Errorf("%s %s: status %d without a logged cause", route.method, target, w.Code)
		}
		if b.log.FilterMessage("admin call panicked").Len() > 0 {
			t.Errorf("%s %s: %v", route.method, target, b.log.All())
		}
		if w.Code == 500 {
			t.Errorf("%s %s: status 500: %v", route.method, target, b.log.All())
		}
		// A credential created again by its owner may not show the old secret
		// either.
		seen := string(raw)
		for _, line := range append(b.log.All(), b.audit.All()...) {
			seen += line.Message
			for _, field := range line.Context {
				seen += field.String
				if field.Interface != nil {
					seen += mustJSON(t, field.Interface)
				}
			}
		}
		for _, s := range []string{secret, vaultToken} {
			if strings.Contains(seen, s) {
				t.Errorf("%s %s: the secret %q is shown: %s", route.method, target, s, seen)
			}
		}
		state, err := entities.Build(entities.Declared{}, b.store.view())
		if err != nil {
			t.Errorf("%s %s: what was written is not understood: %v", route.method, target, err)
		}
		entitiestest.Snapshot(t, state)
	})
}
