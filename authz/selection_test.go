package authz

import (
	"strings"
	"testing"
)

func TestTrap28PolicyIsChosenByRouteThenHostAndPath(t *testing.T) {
	t.Parallel()
	policy := func(name string, change func(*Policy)) Policy {
		p := DefaultPolicy()
		p.Name, p.Vault = name, "v"
		change(&p)
		return p
	}
	s, err := NewSnapshot([]Policy{
		policy("orders", func(p *Policy) { p.Hosts, p.Paths = []string{"api.example.com"}, []string{"/orders"} }),
		policy("wild", func(p *Policy) { p.Hosts = []string{"*.shop.example"} }),
		policy("ports", func(p *Policy) { p.Hosts = []string{"port.example:8443", "any.example:*"} }),
		policy("path", func(p *Policy) { p.Paths = []string{"/admin"} }),
		policy("named", func(p *Policy) { p.ID = aliceID }),
		policy("rest", func(p *Policy) { p.Default = true }),
	}, nil, map[string]Source{"v": &fakeSource{}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, host, path, route, want string }{
		{"the route names it", "api.example.com", "/orders", "named", "named"},
		{"the route names it by id", "x", "/", aliceID, "named"},
		{"host and path", "api.example.com", "/orders/7?x=/../", "", "orders"},
		{"host in upper case", "API.example.com", "/orders", "", "orders"},
		{"host with a port that the rule does not mention", "api.example.com:9", "/orders", "", "ambiguous_host"},
		{"below a wildcard, with a port", "a.shop.example:9", "/", "", "ambiguous_host"},
		{"another host with a port", "other:9", "/", "", "rest"},
		{"the port of the rule", "port.example:8443", "/", "", "ports"},
		{"another port than that of the rule", "port.example:9", "/", "", "rest"},
		{"no port where the rule has one", "port.example", "/", "", "rest"},
		{"any port", "any.example:9", "/", "", "ports"},
		{"any port, and none", "any.example", "/", "", "ports"},
		{"IPv6", "[::1]:80", "/", "", "rest"},
		{"trailing dot", "api.example.com.", "/orders", "", "ambiguous_host"},
		{"two trailing dots", "api.example.com..", "/orders", "", "ambiguous_host"},
		{"empty port", "api.example.com:", "/orders", "", "ambiguous_host"},
		{"port that is none", "api.example.com:x", "/orders", "", "ambiguous_host"},
		{"two ports", "api.example.com:1:2", "/orders", "", "ambiguous_host"},
		{"brackets around a name", "[api.example.com]", "/orders", "", "ambiguous_host"},
		{"text behind brackets", "[::1]evil", "/", "", "ambiguous_host"},
		{"user information", "u@api.example.com", "/orders", "", "ambiguous_host"},
		{"no host", "", "/orders", "", "ambiguous_host"},
		{"the route names it, whatever the host", "[x]", "/", "named", "named"},
		{"encoded question mark", "other", "/admin%3fx", "", "ambiguous_path"},
		{"encoded number sign", "other", "/admin%23", "", "ambiguous_path"},
		{"overlong UTF-8", "other", "/%c0%afadmin", "", "ambiguous_path"},
		{"path encoded", "api.example.com", "/%6frders", "", "orders"},
		{"prefix ends at a segment", "api.example.com", "/orders2", "", "rest"},
		{"path without its host", "other", "/orders", "", "rest"},
		{"below a wildcard", "a.b.shop.example", "/", "", "wild"},
		{"not the wildcard's own name", "shop.example", "/", "", "rest"},
		{"path alone", "other", "/admin/", "", "path"},
		{"default", "other", "/", "", "rest"},
		{"route names none that is", "other", "/", "nope", "no_policy"},
		{"dot segment", "other", "/x/../admin", "", "ambiguous_path"},
		{"dot segment at the end", "other", "/x/..", "", "ambiguous_path"},
		{"encoded dot segment", "other", "/x/%2e%2E/admin", "", "ambiguous_path"},
		{"encoded slash", "other", "/x%2fadmin", "", "ambiguous_path"},
		{"encoded twice", "other", "/x%252fadmin", "", "ambiguous_path"},
		{"backslash", "other", `/x\admin`, "", "ambiguous_path"},
		{"encoded backslash", "other", "/x%5cadmin", "", "ambiguous_path"},
		{"empty segment", "other", "//admin", "", "ambiguous_path"},
		{"path parameter", "other", "/admin;x=1", "", "ambiguous_path"},
		{"NUL", "other", "/admin%00", "", "ambiguous_path"},
		{"broken escape", "other", "/%zz", "", "ambiguous_path"},
		{"no path (CONNECT)", "other", "", "", "ambiguous_path"},
		{"asterisk", "other", "*", "", "ambiguous_path"},
		{"letters of other alphabets that are k and i in lower case", "a.\u212a\u0130.example", "/", "", "ambiguous_host"},
		{"dot at the end of a segment", "other", "/admin.", "", "ambiguous_path"},
		{"dots at the end of a segment in the middle", "other", "/admin../x", "", "ambiguous_path"},
		{"blank at the end of a segment", "other", "/admin%20", "", "ambiguous_path"},
		{"blank at the beginning of a segment", "other", "/%20admin", "", "ambiguous_path"},
		{"blank of another alphabet", "other", "/admin%c2%a0", "", "ambiguous_path"},
		{"dots and blanks elsewhere", "other", "/a.b/.well-known/a%20b", "", "rest"},
		{"bytes that are no text", "other", "/adm\xffin", "", "ambiguous_path"},
		{"ambiguous but the host alone decides", "a.shop.example", "/x/../admin", "", "wild"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &Request{HTTP: true, Host: test.host, Path: test.path, PolicyName: test.route}
			p, reason := s.choose(r)
			got := reason.String()
			if p != nil {
				got = p.Name
			}
			if got != test.want {
				t.Errorf("host %q path %q: got %s, want %s", test.host, test.path, got, test.want)
			}
		})
	}
}

func TestNoPolicyDenies(t *testing.T) {
	t.Parallel()
	s, err := NewSnapshot(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := New(s, NewDigester(), DefaultGrammar()).Check(t.Context(), good())
	if d.Allowed || d.Reason != ReasonNoPolicy {
		t.Errorf("got allowed=%t reason=%s", d.Allowed, d.Reason)
	}
}

func TestSnapshotReportsEveryMistake(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Vault, p.Anonymous, p.TokensInBody = "nope", "ghost", true
	p.Allow, p.Deny = []string{"a"}, []string{"b"}
	p.Paths, p.Hosts = []string{"/a/../b", "x"}, []string{"A.example", "*", "a.example:0x", "a.example."}
	p.AccessTokenNames, p.SecretTokenNames = []string{"x-consumer-id", "t"}, []string{"t", "a b"}
	_, err := NewSnapshot([]Policy{p}, []Consumer{{ID: "x"}, {ID: aliceID, Username: "a\nb"}}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"name: must be set", `no vault object "nope"`, `username "ghost"`, "tokens_in_body", "either allow or deny",
		`"/a/../b"`, `"x" is not a plain path`, `"A.example"`, `"*"`, `"a.example:0x"`, `"a.example."`, `"x-consumer-id" is a header`, `"t" is a name of access_token_name too`, `"a b"`,
		"lower-case UUID", "at least one of username", "control character",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no mention of %s in:\n%v", want, err)
		}
	}
}

func TestAPolicyThatIsNotValidIsReportedAndNotCompiled(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Name, p.Vault, p.AccessTokenNames = "p", "v", []string{strings.Repeat("a", 128)}
	if _, err := NewSnapshot([]Policy{p}, nil, map[string]Source{"v": &fakeSource{}}); err == nil {
		t.Error("no error")
	}
}

func TestUniqueNamesAndIDs(t *testing.T) {
	t.Parallel()
	one := Consumer{ID: aliceID, Username: "alice", CustomID: "1"}
	for name, other := range map[string]Consumer{
		"id":        {ID: aliceID, Username: "x"},
		"username":  {ID: bobID, Username: "alice"},
		"custom id": {ID: bobID, Username: "x", CustomID: "1"},
	} {
		if _, err := NewSnapshot(nil, []Consumer{one, other}, nil); err == nil {
			t.Errorf("same %s twice: no error", name)
		}
	}
}
