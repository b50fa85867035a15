package browser

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// inModule evaluates a function of a module of the page. Its parameters are the module and argument.
func inModule[T any](p *tab, module, function string, argument any) (result T) {
	p.Helper()
	raw, err := json.Marshal(argument)
	must(p.T, err)
	answer := eval[string](p, fmt.Sprintf(`import('/ui/%s').then((m) => JSON.stringify((%s)(m, %s)))`, module, function, raw))
	must(p.T, json.Unmarshal([]byte(answer), &result))
	return result
}

// modules opens the page for its modules.
func modules(t *testing.T) *tab {
	t.Helper()
	p := openTab(t, sharedSite(t))
	p.open("")
	p.view("signin")
	return p
}

// A curlRequest is what the page makes of a command.
type curlRequest struct {
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers"`
	Body    *string     `json:"body"`
	// Mistake is what is wrong with the command.
	Mistake string `json:"mistake"`
}

const parse = `(m, commands) => commands.map((c) => {
	try { return m.parseCurl(c); } catch (e) { if (e instanceof m.Mistake) return {mistake: e.message}; throw e; }
})`

func TestCurlCommandsAreReadAsAShellAndCurlDo(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	request := func(method, host, path string, headers ...string) curlRequest {
		r := curlRequest{Method: method, Host: host, Path: path, Headers: [][2]string{}}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, [2]string{headers[i], headers[i+1]})
		}
		return r
	}
	with := func(body string, r curlRequest) curlRequest { r.Body = &body; return r }
	tests := []struct {
		name, command string
		want          curlRequest
	}{
		{"a URL", `curl https://api.example.com/orders?x=1`, request("GET", "api.example.com", "/orders?x=1")},
		{"a URL without a scheme", `curl api.example.com`, request("GET", "api.example.com", "/")},
		{"a prompt in front", `$ curl http://a/`, request("GET", "a", "/")},
		{"the prompt of root in front", "# curl http://a/\n -H 'a: 1'", request("GET", "a", "/", "a", "1")},
		{"a prompt with names in front", `alice@laptop:~$ curl http://a/`, request("GET", "a", "/")},
		{"a prompt of zsh in front", `% curl http://a/`, request("GET", "a", "/")},
		{"a decorated prompt in front", `❯ curl http://a/`, request("GET", "a", "/")},
		{"a prompt of PowerShell in front", `PS C:\> curl.exe http://a/`, request("GET", "a", "/")},
		{"the path of curl", `/usr/bin/curl http://a/`, request("GET", "a", "/")},
		{"the path of curl, in quotes", `"C:\Program Files\curl.exe" http://a/`, request("GET", "a", "/")},
		{"time in front", `time curl http://a/`, request("GET", "a", "/")},
		{"a variable in front", `TOKEN=x curl http://a/`, request("GET", "a", "/")},
		{"a comment above", "# as the client uses curl today\ncurl http://a/", request("GET", "a", "/")},
		{"backticks around", "`curl http://a/ -H 'a: 1'`", request("GET", "a", "/", "a", "1")},
		{"a block of Markdown around", "```sh\ncurl http://a/\n```", request("GET", "a", "/")},
		{"parentheses around", `(curl http://a/)`, request("GET", "a", "/")},
		{"single quotes", `curl -H 'access-token: a b' https://a/`, request("GET", "a", "/", "access-token", "a b")},
		{"double quotes with escapes", `curl -H "x: \"q\" \\ \a" https://a/`, request("GET", "a", "/", "x", `"q" \ \a`)},
		{"quotes side by side", `curl -H 'x: it'\''s' https://a/`, request("GET", "a", "/", "x", "it's")},
		{"quotes as browsers copy them", `curl -H $'x: a\'b\u0021\x41' https://a/`, request("GET", "a", "/", "x", "a'b!A")},
		{"lines that go on", "curl \\\n  -X PUT \\\r\n  -H 'a: 1' \\\n https://a/x", request("PUT", "a", "/x", "a", "1")},
		{"lines that lost their backslash", "curl https://a/x\n  -H 'a: 1'\nls -l", request("GET", "a", "/x", "a", "1")},
		{"values without a blank", `curl -XDELETE -H'a: 1' -sSk https://a`, request("DELETE", "a", "/", "a", "1")},
		{"switches before an option", `curl -sXPOST https://a`, request("POST", "a", "/")},
		{"long options with =", `curl --header='a: 1' --request=PATCH --url=https://a/b`, request("PATCH", "a", "/b", "a", "1")},
		{"data", `curl -d a=1 -d b=2 https://a`, with("a=1&b=2", request("POST", "a", "/", "Content-Type", form))},
		{"data of another type", `curl -d '{}' -H 'content-type: application/json' https://a`, with("{}", request("POST", "a", "/", "content-type", "application/json"))},
		{"data in the query", `curl -G -d a=1 --data-urlencode 'b=x y&z' https://a/p?q=0`, request("GET", "a", "/p?q=0&a=1&b=x%20y%26z")},
		{"JSON", `curl --json '{"a":1}' https://a`, with(`{"a":1}`, request("POST", "a", "/", "Content-Type", "application/json", "Accept", "application/json"))},
		{"only the head", `curl -I https://a`, request("HEAD", "a", "/")},
		{"user and password", `curl -u alice:sécret https://a`, request("GET", "a", "/", "Authorization", "Basic YWxpY2U6c8OpY3JldA==")},
		{"user and password in the URL", `curl https://al%40x:pw@a:8443/`, request("GET", "a:8443", "/", "Authorization", "Basic YWxAeDpwdw==")},
		{"a header in place of one that curl makes", `curl -u a:b -H 'Authorization: Bearer t' https://a`, request("GET", "a", "/", "Authorization", "Bearer t")},
		{"a bearer token", `curl --oauth2-bearer t https://a`, request("GET", "a", "/", "Authorization", "Bearer t")},
		{"another host", `curl -H 'Host: api.example.com' http://127.0.0.1:10000/`, request("GET", "api.example.com", "/")},
		{"the port of the scheme", `curl https://a:443/`, request("GET", "a", "/")},
		{"headers without a value", `curl -H 'a;' -H 'b:' https://a`, request("GET", "a", "/", "a", "")},
		{"cookie, agent and referer", `curl -b 'a=1' -A me -e http://b https://a`, request("GET", "a", "/", "User-Agent", "me", "Referer", "http://b", "Cookie", "a=1")},
		{"dots in the path", `curl https://a/x/../y/./z`, request("GET", "a", "/y/z")},
		{"dots as they are", `curl --path-as-is https://a/x/../y`, request("GET", "a", "/x/../y")},
		{"escapes as they are", `curl https://a/%2e%2e/x%2Fy//z`, request("GET", "a", "/%2e%2e/x%2Fy//z")},
		{"a fragment", `curl https://a/x#y`, request("GET", "a", "/x")},
		{"a query without a path", `curl https://a?x=1`, request("GET", "a", "/?x=1")},
		{"an IPv6 address", `curl 'http://[::1]:8080/x'`, request("GET", "[::1]:8080", "/x")},
		{"options that change nothing", `curl -o out.json -m 5 --max-time 3 --cacert ca.pem --compressed https://a/`, request("GET", "a", "/")},
		{"a pipe", `curl -s https://a/ | jq .`, request("GET", "a", "/")},
		{"the first of two requests", `curl https://a/1 --next https://a/2`, request("GET", "a", "/1")},

		{"another program", `wget http://a`, curlRequest{Mistake: "no curl"}},
		{"no URL", `curl -s`, curlRequest{Mistake: "no URL"}},
		{"an open quote", `curl -H 'a: b https://a`, curlRequest{Mistake: "not closed"}},
		{"a variable", `curl -H "a: $TOKEN" https://a`, curlRequest{Mistake: "$TOKEN"}},
		{"a variable in braces", `curl -H "a: ${TOKEN}" https://a`, curlRequest{Mistake: "${TOKEN}"}},
		{"the output of a command", `curl -H "a: $(cat t)" https://a`, curlRequest{Mistake: "$("}},
		{"the output of a command, as of old", "curl -H \"a: `cat t`\" https://a", curlRequest{Mistake: "`"}},
		{"data from a file", `curl -d @f https://a`, curlRequest{Mistake: "reads a file"}},
		{"headers from a file", `curl -H @f https://a`, curlRequest{Mistake: "reads a file"}},
		{"an upload", `curl -T f https://a`, curlRequest{Mistake: "reads a file"}},
		{"a form with a file", `curl -F a=@f https://a`, curlRequest{Mistake: "reads a file"}},
		{"a header without a colon", `curl -H nocolon https://a`, curlRequest{Mistake: "no colon"}},
		{"a query without quotes", `curl https://a/?x=1&y=2`, curlRequest{Mistake: "&"}},
		{"another protocol", `curl ftp://a`, curlRequest{Mistake: "not HTTP"}},
		{"an option without its value", `curl https://a -X`, curlRequest{Mistake: "no value"}},
		{"no host", `curl https:///x`, curlRequest{Mistake: "no host"}},
	}
	commands := make([]string, len(tests))
	for i, tt := range tests {
		commands[i] = tt.command
	}
	for i, got := range inModule[[]curlRequest](modules(t), "curl.js", parse, commands) {
		want := tests[i].want
		if want.Mistake != "" && strings.Contains(got.Mistake, want.Mistake) {
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\ngot  %+v\nwant %+v", tests[i].name, tests[i].command, got, want)
		}
	}
}

func TestTextsThatMayBeSearchedFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       bool
	}{
		{"a username", "acme-billing", true},
		{"a name with blanks", "Acme – billing team", true},
		{"the name of the program", "curl", true},
		{"names with that of a program", "libcurl curl-team http-team", true},
		{"a SPIFFE id", "spiffe://example.com/billing", true},
		{"markup", `<img src=x onerror="alert(1)">`, true},
		{"the longest access token", strings.Repeat("x", 256), true},
		{"a longer text", strings.Repeat("x", 257), false},
		{"two lines", "acme\nbilling", false},
		{"curl", `curl https://a`, false},
		{"an option", `-H 'secret-token: x'`, false},
		{"an option after something", `fetch --header=x`, false},
		{"wget", `wget https://a`, false},
		{"HTTPie", `http GET a.example secret-token:x`, false},
		{"a URL among words", `fetch https://a/x`, false},
		{"a URL with a query", `https://a/?secret-token=x`, false},
		{"a URL with a password", `https://alice:secret@a/`, false},
	}
	texts := make([]string, len(tests))
	for i, tt := range tests {
		texts[i] = tt.text
	}
	for i, got := range inModule[[]bool](modules(t), "typed.js", `(m, texts) => texts.map(m.maySearch)`, texts) {
		if got != tests[i].want {
			t.Errorf("%s: got %t, want %t", tests[i].name, got, tests[i].want)
		}
	}
}

// A client could make a path or an id look like another one.
func TestCharactersThatHideOthersAreShown(t *testing.T) {
	t.Parallel()
	const render = `(m, texts) => texts.map((text) => {
		const place = document.createElement('div');
		m.render(m.html(['<p title=', '>', ' ', '</p>'], text, text, [text]), place);
		return [place.textContent, place.firstChild.title];
	})`
	tests := []struct{ name, text, want string }{
		{"plain text", "ümläut 漢字 שלום\n\t…", "ümläut 漢字 שלום\n\t…"},
		{"from right to left from here", "/a\u202egnp.exe", `/a\u{202e}gnp.exe`},
		{"isolates", "\u2066x\u2069", `\u{2066}x\u{2069}`},
		{"without width", "a\u200bb\ufeff", `a\u{200b}b\u{feff}`},
		{"control characters", "a\x00b\x1b[1m\r", `a\u{0}b\u{1b}[1m\u{d}`},
		{"beyond 16 bits", "a\U000e0041", `a\u{e0041}`},
	}
	texts := make([]string, len(tests))
	for i, tt := range tests {
		texts[i] = tt.text
	}
	for i, got := range inModule[[][2]string](modules(t), "html.js", render, texts) {
		if want := tests[i].want + " " + tests[i].want; got[0] != want {
			t.Errorf("%s: got %q, want %q", tests[i].name, got[0], want)
		}
		if got[1] != tests[i].text {
			t.Errorf("%s: the attribute is %q, want it unchanged", tests[i].name, got[1])
		}
	}
}

func TestWhatNeedsAttention(t *testing.T) {
	t.Parallel()
	overviews := []string{
		`{"vaults": [{"name": "main", "ready": true, "breaker": "closed"}]}`,
		`{"vaults": [{"name": "main", "ready": false, "breaker": "open", "cause": "Vault is sealed"}]}`,
		`{"vaults": [{"name": "main", "ready": false, "breaker": "closed", "cause": "Vault is sealed"}]}`,
		`{"replicas": {"read_at": 1550538900, "problem": "", "data": [{"replica": "a", "current": false, "reload_failed": true, "missing": true}, {"replica": "b", "current": true}]}}`,
		`{"replicas": {"data": [{}, {"replica": "b", "missing": true, "current": false, "seen_at": 0}]}}`,
		`{"replicas": {"data": [{}, {"replica": "b", "missing": false, "current": false, "seen_at": 0, "reload_failed": true}]}}`,
		`{"replicas": {"data": [{}, {"replica": "b", "missing": false, "current": false, "seen_at": 8640000000001}]}}`,
		`{"replicas": {"read_at": 0, "problem": "Vault is sealed", "data": [{}]}}`,
	}
	want := [][]string{
		{},
		{"Reads of vault object main are suspended, because they failed. Cached credentials still work. The cause: Vault is sealed"},
		{"Vault object main cannot be used: Vault is sealed"},
		{}, // what concerns this replica is told by its own fields
		{"Replica b has not been seen since 00:00. It has crashed, or it cannot write to the state. It stays in the list for an hour."},
		{"Replica b may have missed changes, so it answered requests with 503 at 00:00.", "Replica b did not take its configuration file, and the one before still holds there."},
		{"Replica b may have missed changes, so it answered requests with 503 at 8640000000001."}, // no date to a browser
		{"It is not known how the other replicas are: Vault is sealed"},
	}
	got := inModule[[][]string](modules(t), "views/overview.js", `(m, overviews) => overviews.map((o) => m.attention(JSON.parse(o)))`, overviews)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHowLongAVaultTokenLasts(t *testing.T) {
	t.Parallel()
	statuses := []string{
		`{"token_ttl_seconds": 7200, "authenticated": true}`,
		`{"token_ttl_seconds": 0, "authenticated": true}`,
		`{"token_ttl_seconds": null, "authenticated": true}`,
		`{"token_ttl_seconds": null, "authenticated": null}`,
	}
	want := []string{"2 h", "it has ended", "without end, or not known", ""}
	got := inModule[[]string](modules(t), "views/vaults.js", `(m, statuses) => statuses.map((s) => m.tokenLasts(JSON.parse(s)) ?? '')`, statuses)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALinkLeadsToWhatItWasMadeOf(t *testing.T) {
	t.Parallel()
	type place struct {
		Path  []string          `json:"path"`
		Query map[string]string `json:"query"`
	}
	p := modules(t)
	var places []place
	for _, text := range []string{"plain", "with blank", "a/b?c#d&e=f%20g", "javascript:alert(1)", "//evil.example.com", `"><img src=x>`, "ümläut…", "%", "+", ".."} {
		places = append(places, place{[]string{"consumers", text}, map[string]string{"q": text}})
	}
	links := inModule[[]string](p, "router.js", `(m, places) => places.map(({path, query}) => m.link(path, query))`, places)
	for i, back := range inModule[[]place](p, "router.js", `(m, links) => links.map(m.parse)`, links) {
		if !reflect.DeepEqual(back, places[i]) {
			t.Errorf("%s leads to %+v, want %+v", links[i], back, places[i])
		}
		if !strings.HasPrefix(links[i], "#/consumers/") {
			t.Errorf("%s leads out of the page", links[i])
		}
	}
	hashes := []string{"", "#", "#/", "#/overview", "#main", "#/x/%", "#/consumers/a%2Fb/"}
	want := []*place{{[]string{"overview"}, map[string]string{}}, {[]string{"overview"}, map[string]string{}}, {[]string{"overview"}, map[string]string{}}, {[]string{"overview"}, map[string]string{}}, nil, nil, {[]string{"consumers", "a/b"}, map[string]string{}}}
	for i, got := range inModule[[]*place](p, "router.js", `(m, hashes) => hashes.map(m.parse)`, hashes) {
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%q: got %+v, want %+v", hashes[i], got, want[i])
		}
	}
}

// TestPoliciesAreSortedAsTheServiceDoes compares the two with policies that differ in little.
func TestPoliciesAreSortedAsTheServiceDoes(t *testing.T) {
	t.Parallel()
	pick := func(values []string) []string {
		var some []string
		for _, v := range values {
			if rand.IntN(4) == 0 {
				some = append(some, v)
			}
		}
		return some
	}
	var policies []authz.Policy
	var shown []api.Policy
	for i := range 300 {
		policy := authz.DefaultPolicy()
		policy.Name = fmt.Sprintf("p%03d", i)
		policy.Hosts = pick([]string{"a.example.com", "a.example.com:8443", "a.example.com:*", "*.example.com", "*.b.example.com", "*.b.example.com:*"})
		policy.Paths = pick([]string{"/a", "/a/b", "/c/d", "/longer/path"})
		policy.Default, policy.IgnoreCase, policy.Priority = rand.IntN(6) == 0, rand.IntN(3) == 0, rand.IntN(3)-1
		policies, shown = append(policies, policy), append(shown, api.PolicyOf(&policy))
	}
	slices.SortFunc(policies, func(a, b authz.Policy) int { return a.Compare(&b) })
	for i, name := range inModule[[]string](modules(t), "specificity.js", `(m, policies) => policies.sort(m.compare).map((p) => p.name)`, shown) {
		if name != policies[i].Name {
			t.Fatalf("place %d: the page has %s, the service %+v", i, name, policies[i])
		}
	}
}

func TestFingerprintsAreThoseOfTheLog(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"foo", "v3cOV1jWglS0PFOrTcdr85bs1GP0e2yM", "_~.-"} {
		got := eval[string](modules(t), fmt.Sprintf(`import('/ui/credentials.js').then((m) => m.fingerprintOf(%q))`, token))
		if want := authz.Fingerprint(token); got != want {
			t.Errorf("%s: got %s, want %s", token, got, want)
		}
	}
}
