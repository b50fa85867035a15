package admin

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A step is one call with what must come of it.
type step struct {
	name              string
	method, path      string
	contentType, body string
	status            int
	// want are texts that the answer must have, not those that it must not.
	want, not []string
}

func (s step) run(b *bench) {
	b.Helper()
	a := b.do(s.method, s.path, s.contentType, s.body)
	if a.status != s.status {
		b.Errorf("%s: %s %s %q: got status %d, want %d: %s", s.name, s.method, s.path, s.body, a.status, s.status, a.raw)
	}
	for _, want := range s.want {
		if !strings.Contains(a.raw, want) {
			b.Errorf("%s: %s %s %q: got %s, want it to have %s", s.name, s.method, s.path, s.body, a.raw, want)
		}
	}
	for _, not := range s.not {
		if strings.Contains(a.raw, not) {
			b.Errorf("%s: %s %s %q: got %s, want it to be without %s", s.name, s.method, s.path, s.body, a.raw, not)
		}
	}
}

// Each step is run on a bench of its own.
func apart(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(furnished(t))
		})
	}
}

const (
	someID  = "7f853474-7b70-439d-ad59-2481a0a9a904"
	otherID = "64063284-e3b5-48e7-9bca-802251c32138"
)

const multipartBody = "--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\ncarol\r\n--x\r\nContent-Disposition: form-data; name=\"tags[]\"\r\n\r\ngold\r\n--x--\r\n"

// kong-vault-auth.md section 7.
func TestKongsGenericRules(t *testing.T) {
	t.Parallel()
	apart(t, []step{
		{name: "json", method: "POST", path: "/consumers", contentType: "application/json; charset=utf-8", body: `{"username":"carol"}`, status: 201, want: []string{`"custom_id":null`, `"tags":null`}},
		{name: "form", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol", status: 201},
		{name: "multipart", method: "POST", path: "/consumers", contentType: typeMultipart + "; boundary=x", body: multipartBody, status: 201, want: []string{`"carol"`, `["gold"]`}},
		{name: "multipart cut short", method: "POST", path: "/consumers", contentType: typeMultipart + "; boundary=x", body: multipartBody[:60], status: 400},
		{name: "another type is 415", method: "POST", path: "/consumers", contentType: "text/plain", body: `{"username":"carol"}`, status: 415},
		{name: "a body of no type is 415", method: "POST", path: "/consumers", body: `{"username":"carol"}`, status: 415},
		{name: "json that cannot be parsed", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":`, status: 400, want: []string{`{"message":"Cannot parse JSON body"}`}},
		{name: "json type and no body", method: "POST", path: "/consumers", contentType: typeJSON, status: 400, want: []string{"Cannot parse JSON body"}},
		{name: "json that is no object", method: "POST", path: "/consumers", contentType: typeJSON, body: `["username"]`, status: 400, want: []string{"Cannot parse JSON body"}},
		{name: "json null", method: "POST", path: "/consumers", contentType: typeJSON, body: `null`, status: 400, want: []string{"Cannot parse JSON body"}},
		{name: "something after the json", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"carol"}{}`, status: 400},
		{name: "a body that is too large", method: "POST", path: "/consumers", contentType: typeForm, body: "username=" + strings.Repeat("x", 1<<20), status: 413},
		{name: "a field twice", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"carol","username":"dave"}`, status: 400, want: []string{"Cannot parse JSON body: a field is given twice"}},
		{name: "a field twice, once in escapes", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"carol","user\u006eame":"carol"}`, status: 400, want: []string{"given twice"}},
		{name: "a field twice, further down", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"vault-auth","tags":[],"config":{"vault":{"id":"` + someID + `","id":"` + otherID + `"}}}`, status: 400, want: []string{"given twice"}},
		{name: "a field twice in an element", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"carol","tags":[{"a":1,"a":1}]}`, status: 400, want: []string{"given twice"}},
		{name: "one name in two records is not twice", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"p","hosts":["a.test"],"vault":{"name":"kong-auth"}}`, status: 201},
		{name: "a text twice in a form", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&username=dave", status: 400, want: []string{"username: expected a string"}},
		{name: "the same text twice in a form", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&username=carol", status: 400},
		{name: "a number twice in a form", method: "POST", path: "/vault-auth/kong-auth/credentials/alice", contentType: typeForm, body: "ttl=5&ttl=6", status: 400, want: []string{"ttl: expected an integer"}},
		{name: "a switch twice in a form", method: "POST", path: "/vault-auth/kong-auth/credentials/alice", contentType: typeForm, body: "disabled=true&disabled=false", status: 400, want: []string{"disabled: expected a boolean"}},
		{name: "a reference twice in a form", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.name=kong-auth&config.vault.name=other", status: 400, want: []string{"config.vault.name: expected a string"}},
		{name: "a text as a list in a form", method: "POST", path: "/consumers", contentType: typeForm, body: "username[]=carol", status: 400},
		{name: "a list twice in a form", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&tags=a&tags=b", status: 201, want: []string{`"tags":["a","b"]`}},
		{name: "a form with two meanings of a field", method: "POST", path: "/plugins", contentType: typeForm, body: "config=x&config.vault.id=y", status: 400},

		{name: "wrong method", method: "DELETE", path: "/consumers", status: 405, want: []string{`{"message":"Method not allowed"}`}},
		{name: "wrong method of a collection", method: "PATCH", path: "/consumers", contentType: typeJSON, body: "{}", status: 405},
		{name: "no such path", method: "GET", path: "/nothing", status: 404, want: []string{`{"message":"Not found"}`}},
		{name: "what the gateway has", method: "GET", path: "/services/x/plugins", status: 404, want: []string{"are the gateway's"}},
		{name: "no such entity", method: "GET", path: "/consumers/nobody", status: 404, want: []string{`{"message":"Not found"}`}},
		{name: "a path with dots is not followed", method: "GET", path: "/acls/../consumers", status: 404, want: []string{"Not found"}},
		{name: "a path with an empty segment", method: "GET", path: "//consumers", status: 404},
		{name: "encoded dots are a name", method: "GET", path: "/consumers/%2e%2e", status: 404},
		{name: "a slash at the end is nothing", method: "GET", path: "/consumers/", status: 200},

		{name: "unknown field", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"carol","nope":1}`, status: 400, want: []string{`"code":2`, `"name":"schema violation"`, `"message":"schema violation (nope: unknown field)"`, `"fields":{"nope":"unknown field"}`}},
		{name: "two violations", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&protocol=ftp&host=h&port=99999&mount=m&vault_token=t", status: 400, want: []string{`2 schema violations (port: value should be between 0 and 65535; protocol: expected one of: http, https)`}},
		{name: "not an integer", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&protocol=http&host=h&port=8200x&mount=m&vault_token=t", status: 400, want: []string{"schema violation (port: expected an integer)"}},
		{name: "json has types of its own", method: "POST", path: "/vault-auth", contentType: typeJSON, body: `{"name":"x","protocol":"http","host":"h","port":"8200","mount":"m","vault_token":"t"}`, status: 400, want: []string{"port: expected an integer"}},
		{name: "an integer is no float", method: "POST", path: "/vault-auth", contentType: typeJSON, body: `{"name":"x","protocol":"http","host":"h","port":82.5,"mount":"m","vault_token":"t"}`, status: 400, want: []string{"port: expected an integer"}},
		{name: "a text is no number", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":5}`, status: 400, want: []string{"username: expected a string"}},
		{name: "required", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x", status: 400, want: []string{`"vault_token":"required field missing"`, "5 schema violations"}},
		{name: "an empty value of a form is null", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&custom_id=", status: 201, want: []string{`"custom_id":null`}},
		{name: "booleans of forms are true and false only", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.name=kong-auth&config.hide_credentials=yes", status: 400, want: []string{"config.hide_credentials: expected a boolean"}},
		{name: "a bad id", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"id":"x","username":"carol"}`, status: 400, want: []string{"id: expected a valid UUID"}},

		{name: "size is no number", method: "GET", path: "/consumers?size=x", status: 400, want: []string{`"code":9`, "size must be a number"}},
		{name: "size 0", method: "GET", path: "/consumers?size=0", status: 400, want: []string{`"code":9`, "size must be an integer between 1 and 1000"}},
		{name: "size 1001", method: "GET", path: "/consumers?size=1001", status: 400},
		{name: "size 1000", method: "GET", path: "/consumers?size=1000", status: 200},
		{name: "offset", method: "GET", path: "/consumers?offset=%25", status: 400, want: []string{`"code":7`, "is not a valid offset"}},
		{name: "both tags", method: "GET", path: "/consumers?tags=team,gold", status: 200, want: []string{"alice"}, not: []string{"bob"}},
		{name: "either tag", method: "GET", path: "/consumers?tags=gold/team", status: 200, want: []string{"alice", "bob"}},
		{name: "a filter by tags that is neither", method: "GET", path: "/consumers?tags=a,b/c", status: 400, want: []string{"invalid option (tags: invalid filter syntax)"}},
		{name: "an empty list is a list", method: "GET", path: "/acls", status: 200, want: []string{`{"data":[],"next":null}`}},
	})
}

func TestMethodNotAllowedSaysWhichAre(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got, want := b.must(405, b.do("DELETE", "/consumers", "", "")).header.Get("Allow"), "GET, POST"; got != want {
		t.Errorf("Allow: got %q, want %q", got, want)
	}
}

func TestPagesFollowEachOtherToTheEndWithNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 25 {
		b.must(201, b.form("POST", "/consumers", fmt.Sprintf("username=c%d&tags=x", i)))
	}
	seen, pages := map[string]bool{}, 0
	for next := "/consumers?size=10&tags=x"; next != ""; pages++ {
		a := b.must(200, b.get(next))
		for _, item := range a.body["data"].([]any) {
			name := item.(map[string]any)["username"].(string)
			if seen[name] {
				t.Errorf("%s is on two pages", name)
			}
			seen[name] = true
		}
		next = a.text("next")
		if (next == "") != (a.text("offset") == "") {
			t.Errorf("next %q and offset %q: want both or neither", next, a.text("offset"))
		}
	}
	if len(seen) != 25 || pages != 3 {
		t.Errorf("got %d consumers on %d pages, want 25 on 3", len(seen), pages)
	}
}

// kong-vault-auth.md section 12.
func TestConsumers(t *testing.T) {
	t.Parallel()
	apart(t, []step{
		{name: "neither name", method: "POST", path: "/consumers", contentType: typeJSON, body: `{}`, status: 400, want: []string{`"@entity":["at least one of these fields must be non-empty: 'custom_id', 'username'"]`, `schema violation (at least one of`}},
		{name: "no body", method: "POST", path: "/consumers", status: 400, want: []string{"at least one of these fields"}},
		{name: "username taken", method: "POST", path: "/consumers", contentType: typeForm, body: "username=alice", status: 409, want: []string{`"code":5`, `"name":"unique constraint violation"`, `"message":"UNIQUE violation detected on '{username=\"alice\"}'"`, `"fields":{"username":"alice"}`}},
		{name: "custom id taken", method: "POST", path: "/consumers", contentType: typeForm, body: "custom_id=a-1", status: 409, want: []string{`{custom_id=\"a-1\"}`}},
		{name: "by username", method: "GET", path: "/consumers/alice", status: 200, want: []string{`"username":"alice"`}},
		{name: "not by custom id", method: "GET", path: "/consumers/a-1", status: 404},
		{name: "filter by custom id", method: "GET", path: "/consumers?custom_id=a-1", status: 200, want: []string{`"alice"`, `"next":null`}},
		{name: "filter by a custom id that nobody has", method: "GET", path: "/consumers?custom_id=a-2", status: 200, want: []string{`{"data":[],"next":null}`}},
		{name: "filter by no custom id", method: "GET", path: "/consumers?custom_id=", status: 400, want: []string{`{"message":"custom_id must be an unempty string"}`}},
		{name: "patch", method: "PATCH", path: "/consumers/alice", contentType: typeForm, body: "custom_id=a-2", status: 200, want: []string{`"custom_id":"a-2"`, `"username":"alice"`, `["team","gold"]`}},
		{name: "patch to null", method: "PATCH", path: "/consumers/alice", contentType: typeJSON, body: `{"custom_id":null}`, status: 200, want: []string{`"custom_id":null`}},
		{name: "patch away both names", method: "PATCH", path: "/consumers/alice", contentType: typeJSON, body: `{"custom_id":null,"username":null}`, status: 400},
		{name: "patch of nobody", method: "PATCH", path: "/consumers/nobody", contentType: typeForm, body: "custom_id=a-2", status: 404},
		{name: "patch of the id", method: "PATCH", path: "/consumers/alice", contentType: typeForm, body: "id=" + someID, status: 400, want: []string{"id: cannot be changed"}},
		{name: "put replaces", method: "PUT", path: "/consumers/alice", contentType: typeJSON, body: `{}`, status: 200, want: []string{`"username":"alice"`, `"custom_id":null`, `"tags":null`}},
		{name: "put creates by name with 200", method: "PUT", path: "/consumers/carol", contentType: typeJSON, body: `{"custom_id":"c"}`, status: 200, want: []string{`"username":"carol"`}},
		{name: "put creates by id with 200", method: "PUT", path: "/consumers/" + someID, contentType: typeJSON, body: `{"username":"carol"}`, status: 200, want: []string{someID}},
		{name: "put of another id than the path's", method: "PUT", path: "/consumers/" + someID, contentType: typeJSON, body: `{"id":"` + otherID + `","username":"carol"}`, status: 400},
		{name: "put of a taken name", method: "PUT", path: "/consumers/" + someID, contentType: typeJSON, body: `{"username":"alice"}`, status: 409},
		{name: "delete", method: "DELETE", path: "/consumers/alice", status: 204},
		{name: "delete of nobody", method: "DELETE", path: "/consumers/nobody", status: 204},
		{name: "delete of no id", method: "DELETE", path: "/consumers/" + someID, status: 204},
		{name: "a name that breaks a header", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"username":"a\r\nX-Admin: 1"}`, status: 400, want: []string{"control character"}},
		{name: "a NUL", method: "POST", path: "/consumers", contentType: typeJSON, body: `{"custom_id":"a\u0000"}`, status: 400, want: []string{"custom_id: "}},
		{name: "a name that is too long for a header", method: "POST", path: "/consumers", contentType: typeForm, body: "username=" + strings.Repeat("x", 257), status: 400, want: []string{"longer than 256 bytes"}},
		{name: "an id of one's own", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&id=" + someID, status: 201, want: []string{someID}},
		{name: "a bad tag", method: "POST", path: "/consumers", contentType: typeForm, body: "username=carol&tags=a,b", status: 400, want: []string{"invalid tag"}},
	})
}

func TestAnIDThatIsTakenIsKongsPrimaryKeyViolation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(201, b.form("POST", "/consumers", "username=x&id="+someID))
	step{name: "again", method: "POST", path: "/consumers", contentType: typeForm, body: "username=y&id=" + someID, status: 400, want: []string{`"code":3`, "primary key violation"}}.run(b)
}

func TestNamesInPathsAreReadAsKongDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, tt := range []struct{ name, body, path string }{
		{"a plus as %2B", `{"username":"a+b"}`, "/consumers/a%2Bb"},
		{"a space as a plus", `{"username":"a b"}`, "/consumers/a+b"},
		{"a space as %20", `{"username":"c d"}`, "/consumers/c%20d"},
		{"a slash as %2F", `{"username":"a/b"}`, "/consumers/a%2Fb"},
		{"UTF-8, encoded", `{"username":"józef"}`, "/consumers/j%C3%B3zef"},
	} {
		b.must(201, b.json("POST", "/consumers", tt.body))
		if a := b.get(tt.path); a.status != 200 {
			t.Errorf("%s: GET %s: got %d, want 200", tt.name, tt.path, a.status)
		}
	}
}

// kong-vault-auth.md section 13.
func TestACLs(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	alice := b.get("/consumers/alice").text("id")
	a := b.must(201, b.form("POST", "/consumers/alice/acls", "group=admin"))
	if got := a.text("consumer.id"); got != alice {
		t.Errorf("consumer: got %q, want %q", got, alice)
	}
	id := a.text("id")
	for _, s := range []step{
		{name: "no group", method: "POST", path: "/consumers/alice/acls", contentType: typeJSON, body: `{}`, status: 400, want: []string{`"fields":{"group":"required field missing"}`}},
		{name: "the same again", method: "POST", path: "/consumers/alice/acls", contentType: typeForm, body: "group=admin", status: 409, want: []string{`UNIQUE violation detected on`, alice}},
		{name: "the same group of another", method: "POST", path: "/consumers/bob/acls", contentType: typeForm, body: "group=admin", status: 201},
		{name: "a group with a comma", method: "POST", path: "/consumers/bob/acls", contentType: typeForm, body: "group=a,b", status: 400, want: []string{"comma"}},
		{name: "nobody", method: "POST", path: "/consumers/nobody/acls", contentType: typeForm, body: "group=admin", status: 404},
		{name: "list", method: "GET", path: "/consumers/alice/acls", status: 200, want: []string{`"group":"admin"`}},
		{name: "by group", method: "GET", path: "/consumers/alice/acls/admin", status: 200, want: []string{id}},
		{name: "by id", method: "GET", path: "/consumers/alice/acls/" + id, status: 200},
		{name: "another consumer's entry", method: "GET", path: "/consumers/bob/acls/" + id, status: 404},
		{name: "another consumer's entry stays", method: "DELETE", path: "/consumers/bob/acls/" + id, status: 204},
		{name: "all", method: "GET", path: "/acls", status: 200, want: []string{id}},
		{name: "one", method: "GET", path: "/acls/" + id, status: 200},
		{name: "its consumer", method: "GET", path: "/acls/" + id + "/consumer", status: 200, want: []string{`"alice"`}},
		{name: "put by group creates", method: "PUT", path: "/consumers/alice/acls/dev", contentType: typeJSON, body: `{}`, status: 200, want: []string{`"group":"dev"`}},
		{name: "patch", method: "PATCH", path: "/consumers/alice/acls/dev", contentType: typeForm, body: "group=ops", status: 200, want: []string{`"group":"ops"`}},
		{name: "delete", method: "DELETE", path: "/consumers/alice/acls/ops", status: 204},
		{name: "deleted", method: "GET", path: "/consumers/alice/acls/ops", status: 404},
		{name: "delete the consumer", method: "DELETE", path: "/consumers/alice", status: 204},
		{name: "its groups are gone", method: "GET", path: "/acls/" + id, status: 404},
		{name: "those of others are not", method: "GET", path: "/consumers/bob/acls/admin", status: 200},
	} {
		s.run(b)
	}
}

func TestTimesAreSecondsAndCreationStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		start := float64(time.Now().Unix())
		a := b.must(201, b.form("POST", "/consumers", "username=alice"))
		if a.body["created_at"] != start || a.body["updated_at"] != start {
			t.Errorf("created: got %v and %v, want %v", a.body["created_at"], a.body["updated_at"], start)
		}
		time.Sleep(time.Minute)
		a = b.must(200, b.json("PUT", "/consumers/alice", `{"created_at":5}`))
		if a.body["created_at"] != start || a.body["updated_at"] != start+60 {
			t.Errorf("updated: got %v and %v, want %v and %v", a.body["created_at"], a.body["updated_at"], start, start+60)
		}
	})
}

func TestAnOffsetIsOneThatTheListGaveOut(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	garbage := []string{"garbage", "eA", base64.RawURLEncoding.EncodeToString([]byte("../../x")), base64.RawURLEncoding.EncodeToString([]byte(strings.ToUpper(someID)))}
	for _, path := range []string{
		"/consumers", "/acls", "/policies", "/plugins", "/vault-auth", "/consumers/alice/acls", "/consumers/alice/credentials", "/tags", "/tags/gold", "/services", "/workspaces",
	} {
		for _, offset := range garbage {
			if a := b.must(400, b.get(path+"?offset="+offset)); !strings.Contains(a.raw, `"code":7`) {
				t.Errorf("GET %s?offset=%s = %s, want the code 7", path, offset, a.raw)
			}
		}
	}
	for _, offset := range []string{"garbage", base64.RawURLEncoding.EncodeToString([]byte("../../x"))} {
		b.must(400, b.get("/vault-auth/kong-auth/credentials?offset="+offset))
	}
}

func TestPartsOfAMultipartFormMayBeJSON(t *testing.T) {
	t.Parallel()
	part := func(name, contentType, value string) string {
		header := ""
		if contentType != "" {
			header = "Content-Type: " + contentType + "\r\n"
		}
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n" + header + "\r\n" + value + "\r\n"
	}
	const vault = `{"vault":{"name":"kong-auth"},"hide_credentials":false}`
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"a record", part("name", "", "vault-auth") + part("config", typeJSON, vault), 201, `"hide_credentials":false`},
		{"with a parameter of the type", part("name", "text/plain", "vault-auth") + part("config", "application/json; charset=utf-8", vault), 201, `"vault-auth"`},
		{"a list", part("name", "", "vault-auth") + part("config", typeJSON, vault) + part("tags", typeJSON, `["a","b"]`), 201, `["a","b"]`},
		{"a record of another type is a text", part("name", "", "vault-auth") + part("config", "text/plain", vault), 400, "config: expected a record"},
		{"no JSON", part("name", "", "vault-auth") + part("config", typeJSON, "{"), 400, "Cannot parse the form"},
		{"twice", part("name", "", "vault-auth") + part("config", typeJSON, vault) + part("config", typeJSON, vault), 400, "Cannot parse the form"},
		{"twice, once by a dotted name", part("name", "", "vault-auth") + part("config", typeJSON, vault) + part("config.anonymous", "", "alice"), 400, "Cannot parse the form"},
		{"a field in it twice", part("name", "", "vault-auth") + part("config", typeJSON, `{"vault":"kong-auth","vault":"other"}`), 400, "Cannot parse the form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			a := b.must(tt.status, b.do("POST", "/plugins", typeMultipart+"; boundary=x", tt.body+"--x--\r\n"))
			if !strings.Contains(a.raw, tt.want) {
				t.Errorf("got %s, want it to have %s", a.raw, tt.want)
			}
		})
	}
}
