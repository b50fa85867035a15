package vaultkv_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// answerByPath answers by the end of the path; a list has the path "list".
func answerByPath(answers map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if r.URL.Query().Get("list") == "true" {
			path = "list"
		}
		for end, h := range answers {
			if end != "" && strings.HasSuffix(path, end) {
				h(w, r)
				return
			}
		}
		answers[""](w, r)
	}
}

func TestATryOfTheConnectionSaysWhatItFinds(t *testing.T) {
	t.Parallel()
	absent, denied, lives := answer(404, `{"errors":[]}`), answer(403, `{"errors":["permission denied"]}`), answer(200, `{"data":{}}`)
	health := answer(200, `{"initialized":true,"sealed":false,"standby":false}`)
	keys := answer(200, `{"data":{"keys":["a","b"]}}`)
	never := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	yes, no := new(true), new(false)
	for _, test := range []struct {
		name    string
		answers map[string]http.HandlerFunc
		want    vaultkv.Tryout
		problem string
	}{
		{
			"a server in order",
			map[string]http.HandlerFunc{"health": health, "list": keys, "": absent},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: yes, CanList: yes},
			"",
		},
		{
			"an empty mount",
			map[string]http.HandlerFunc{"health": health, "": absent},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: yes, CanList: yes},
			"",
		},
		{
			"a standby",
			map[string]http.HandlerFunc{"health": answer(200, `{"initialized":true,"standby":true}`), "": absent},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: yes, Authenticated: yes, CanRead: yes, CanList: yes},
			"",
		},
		{"a list without an end", map[string]http.HandlerFunc{"health": health, "list": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"data":{"keys":["a",`))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "": absent}, vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: yes, CanList: yes}, ""},
		{
			"a policy without list",
			map[string]http.HandlerFunc{"health": health, "list": denied, "lookup-self": lives, "": absent},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: yes, CanList: no},
			`path "kong-auth/" { capabilities = ["list"] }`,
		},
		{
			"a policy without anything",
			map[string]http.HandlerFunc{"health": health, "lookup-self": lives, "": denied},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: no, CanList: no},
			`path "kong-auth/+" { capabilities = ["read"] }`,
		},
		{
			"a token that is not accepted",
			map[string]http.HandlerFunc{"health": health, "": denied},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: no, CanRead: no},
			"does not accept the Vault token",
		},
		{
			"a sealed server",
			map[string]http.HandlerFunc{"health": answer(200, `{"initialized":true,"sealed":true,"standby":true}`), "": answer(503, `{"errors":["Vault is sealed"]}`)},
			vaultkv.Tryout{Reachable: yes, Sealed: yes, Standby: yes, CanRead: no},
			"is sealed; unseal it",
		},
		{
			"a proxy that hides the health",
			map[string]http.HandlerFunc{"health": denied, "": absent},
			vaultkv.Tryout{Reachable: yes, Authenticated: yes, CanRead: yes, CanList: yes},
			"",
		},
		{
			"no mount",
			map[string]http.HandlerFunc{"health": health, "": answer(404, `{"errors":["no handler for route \"kong-auth/x\". route entry not found."]}`)},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no, Authenticated: yes, CanRead: no},
			`there is no KV engine at mount "kong-auth"`,
		},
		{"a web server", map[string]http.HandlerFunc{"": answer(200, "<html>hello</html>")}, vaultkv.Tryout{CanRead: no}, "a page for people"},
		{"a server that hangs", map[string]http.HandlerFunc{"": never}, vaultkv.Tryout{}, "no answer from "},
		{
			"a server that hangs but for its health",
			map[string]http.HandlerFunc{"health": health, "": never},
			vaultkv.Tryout{Reachable: yes, Sealed: no, Standby: no},
			"no answer from ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v, _, logs := open(t, fake(t, answerByPath(test.answers)), func(c *vaultkv.Config) { c.Timeout = 10 * time.Second })
			began := time.Now()
			got := v.Try(t.Context())
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
			if (got.ReadTook != nil) != (got.CanRead != nil && *got.CanRead) || got.ReadTook != nil && *got.ReadTook <= 0 {
				t.Errorf("the read took %v", got.ReadTook)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(vaultkv.Tryout{}, "ReadTook", "Problem")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			problem := ""
			if got.Problem != nil {
				problem = got.Problem.Error()
			}
			if !strings.Contains(problem, test.problem) || (problem == "") != (test.problem == "") {
				t.Errorf("the problem is %q, want %q", problem, test.problem)
			}
			wantNoTokens(t, got.Problem, logs)
		})
	}
}

func TestATryOfNoServerFindsNone(t *testing.T) {
	t.Parallel()
	v, _, _ := open(t, "http://127.0.0.1:1", nil)
	got := v.Try(t.Context())
	if got.Reachable == nil || *got.Reachable || got.CanRead == nil || *got.CanRead || got.Authenticated != nil || got.CanList != nil {
		t.Errorf("got %+v", got)
	}
	if got.Problem == nil || !strings.Contains(got.Problem.Error(), "refuses the connection") {
		t.Errorf("the problem is %v", got.Problem)
	}
}

// TestATryThatIsOverSaysNothingAboutTheServer: the server may answer within its own timeout.
func TestATryThatIsOverSaysNothingAboutTheServer(t *testing.T) {
	t.Parallel()
	v, _, _ := open(t, fake(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), func(c *vaultkv.Config) { c.Timeout = 10 * time.Second })
	v.Try(t.Context())
	if got := v.State(); got != vaultkv.StateUnknown || v.Breaker().Open {
		t.Errorf("the state is %s, the breaker open: %t", got, v.Breaker().Open)
	}
}

// TestTheExampleOfTheAPIEndsAsAPolicyWithoutListIsExplained: readers of the document look for
// the text that they got.
func TestTheExampleOfTheAPIEndsAsAPolicyWithoutListIsExplained(t *testing.T) {
	t.Parallel()
	v, _, _ := open(t, fake(t, answerByPath(map[string]http.HandlerFunc{
		"list": answer(403, `{"errors":["permission denied"]}`), "lookup-self": answer(200, `{"data":{}}`),
		"mounts/kong-auth": answer(200, `{"data":{"type":"kv","options":{"version":"1"}}}`), "": answer(404, `{"errors":[]}`),
	})), nil)
	got := v.Try(t.Context())
	if got.Problem == nil {
		t.Fatal("nothing is wrong")
	}
	document, err := os.ReadFile(filepath.Join("..", "internal", "admin", "openapi", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "problem: " + strconv.Quote(got.Problem.Error()); !strings.Contains(string(document), want) {
		t.Errorf("internal/admin/openapi/openapi.yaml has no example with %s", want)
	}
}
