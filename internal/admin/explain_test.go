package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vault-authz/vault-authz/authz"
)

// explaining is a bench that explains each request in the same way, and the last one that it was
// asked about.
func explaining(tb testing.TB, options ...option) (b *bench, asked *authz.Request) {
	tb.Helper()
	asked = &authz.Request{}
	b = newBench(tb, append(options, func(_ *Config, d *Dependencies) {
		d.Decide = func(_ context.Context, r *authz.Request) authz.Explanation {
			*asked = *r
			return authz.Explanation{Denial: authz.Denial{
				Reason: "wrong_secret", Status: 401, Policy: "orders", Vault: "kong-auth", Credential: "2c26b46b", Method: r.Method, Host: r.Host, Path: "/orders",
			}}
		}
	})...)
	return b, asked
}

const aRequest = `{"method":"POST","host":"api.example.com","path":"/orders?access_token=foo","headers":[["Secret-Token","supersecretvalue"],["a","1"],["A","2"]],"body":"b","policy":"orders"}`

func TestARequestIsExplainedAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body string
		want       authz.Request
	}{
		{"all of it", aRequest, authz.Request{
			HTTP: true, Method: "POST", Host: "api.example.com", Path: "/orders?access_token=foo", Scheme: "https", Body: []byte("b"), PolicyName: "orders", NamesPolicy: true,
			Headers: []authz.Header{{Name: "secret-token", Value: "supersecretvalue"}, {Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
		}},
		{"what it needs", `{"host":"x","path":"/"}`, authz.Request{HTTP: true, Method: "GET", Host: "x", Path: "/", Scheme: "https"}},
		{"nulls", `{"host":"x","path":"/","method":null,"headers":null,"body":null,"policy":null}`, authz.Request{HTTP: true, Method: "GET", Host: "x", Path: "/", Scheme: "https"}},
		{"a route with an empty name", `{"host":"x","path":"/","policy":""}`, authz.Request{HTTP: true, Method: "GET", Host: "x", Path: "/", Scheme: "https", NamesPolicy: true}},
	} {
		b, asked := explaining(t)
		a := b.must(200, b.json("POST", "/explain", test.body))
		if diff := cmp.Diff(test.want, *asked, cmpopts.IgnoreUnexported(authz.Request{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if a.text("reason") != "wrong_secret" {
			t.Errorf("%s: %s", test.name, a.raw)
		}
	}
}

func TestWhatIsNoRequestIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no JSON": `supersecretvalue`, "no object": `["supersecretvalue"]`, "no host": `{"path":"/supersecretvalue"}`, "no path": `{"host":"x"}`,
		"a URL for a path": `{"host":"x","path":"http://x/supersecretvalue"}`, "an unknown field": `{"host":"x","path":"/","header":"supersecretvalue"}`,
		"a number": `{"host":"x","path":"/","method":7}`, "a host that is no text": `{"host":["supersecretvalue"],"path":"/"}`,
		"headers of three": `{"host":"x","path":"/","headers":[["a","b","supersecretvalue"]]}`, "headers of one": `{"host":"x","path":"/","headers":[["supersecretvalue"]]}`,
		"headers as an object": `{"host":"x","path":"/","headers":{"a":"supersecretvalue"}}`, "a header without a name": `{"host":"x","path":"/","headers":[["","supersecretvalue"]]}`,
		"a field twice": `{"host":"x","path":"/","path":"/supersecretvalue"}`, "something behind it": `{"host":"x","path":"/"} "supersecretvalue"`,
		"very many headers": `{"host":"x","path":"/","headers":[` + strings.Repeat(`["a","supersecretvalue"],`, maxHeaders) + `["a","b"]]}`,
	} {
		b, _ := explaining(t)
		a := b.must(400, b.json("POST", "/explain", body))
		if strings.Contains(a.raw, "supersecretvalue") || b.audit.Len() > 0 {
			t.Errorf("%s: %s, and %d lines in the audit log", name, a.raw, b.audit.Len())
		}
	}
	b, asked := explaining(t)
	b.must(415, b.form("POST", "/explain", "host=x&path=/"))
	b.must(413, b.json("POST", "/explain", `{"host":"x","path":"/`+strings.Repeat("x", defaultMaxBody)+`"}`))
	b.must(400, b.json("POST", "/explain", ""))
	// As a part of a batch it would not count as an explanation of its own.
	if a := b.must(200, b.json("POST", "/batch", `{"operations":[{"method":"POST","path":"/explain","body":`+aRequest+`}]}`)); !strings.Contains(a.raw, `"status":400`) || asked.Host != "" {
		t.Errorf("in a batch: %s", a.raw)
	}
}

// TestAReaderCannotTrySecrets: the answer would say whether one is right.
func TestAReaderCannotTrySecrets(t *testing.T) {
	t.Parallel()
	b, asked := explaining(t, authenticating)
	b.headers["Authorization"] = "Bearer reads"
	b.must(403, b.json("POST", "/explain", aRequest))
	b.must(405, b.get("/explain"))
	if asked.Host != "" {
		t.Error("the request was decided")
	}
	b.headers["Authorization"] = "Bearer first"
	b.must(200, b.json("POST", "/explain", aRequest))
}

func TestAnExplanationIsInTheAuditLogWithoutTokens(t *testing.T) {
	t.Parallel()
	b, _ := explaining(t, authenticating)
	b.headers["Authorization"] = "Bearer first"
	b.must(200, b.json("POST", "/explain", aRequest))
	lines := b.audit.All()
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	fields := lines[1].ContextMap()
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"who": "olga", "action": "explain", "entity": "requests", "id": "2c26b46b", "vault": "kong-auth", "route": "POST /explain", "outcome": "done"} {
		if fields[name] != want {
			t.Errorf("%s is %v, want %s", name, fields[name], want)
		}
	}
	for _, says := range []string{`"reason":"wrong_secret"`, `"host":"api.example.com"`, `"path":"/orders"`, `"allowed":false`} {
		if !strings.Contains(string(raw), says) {
			t.Errorf("the line has no %s: %s", says, raw)
		}
	}
	for _, secret := range []string{"supersecretvalue", "foo", "access_token"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the line has %s: %s", secret, raw)
		}
	}
	b.auditor.fail = func(string) bool { return true }
	if a := b.must(503, b.json("POST", "/explain", aRequest)); strings.Contains(a.raw, "wrong_secret") {
		t.Errorf("without a line in the audit log it is told: %s", a.raw)
	}
}
