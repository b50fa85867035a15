package authz

import (
	"slices"
	"strings"
	"testing"
)

func TestPolicyIsChosenByRouteThenHostAndPath(t *testing.T) {
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
		{"another case", "other", "/ADMIN", "", "rest"},
		{"ambiguous but the host alone decides", "a.shop.example", "/x/../admin", "", "wild"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &Request{HTTP: true, Host: test.host, Path: test.path, PolicyName: test.route}
			c := s.choose(r)
			got := c.reason.String()
			if c.policy != nil {
				got = c.policy.Name
			}
			if got != test.want {
				t.Errorf("host %q path %q: got %s, want %s", test.host, test.path, got, test.want)
			}
		})
	}
}

// selected is a policy that selects by hosts and paths, separated by blanks.
func selected(name, hosts, paths string) Policy {
	p := DefaultPolicy()
	p.Name, p.Vault, p.Hosts, p.Paths = name, "v", strings.Fields(hosts), strings.Fields(paths)
	return p
}

func prioritized(p Policy, priority int) Policy { p.Priority = priority; return p }

func anyCase(p Policy) Policy { p.IgnoreCase = true; return p }

func TestTheMostSpecificPolicyGoverns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		policies   []Policy
		host, path string
		want       string
	}{
		{"a path before none", []Policy{selected("open", "api", ""), selected("strict", "api", "/admin")}, "api", "/admin/users", "strict"},
		{"a longer path", []Policy{selected("short", "", "/a"), selected("long", "", "/a/b")}, "api", "/a/b/c", "long"},
		{"a path with a slash at its end", []Policy{selected("without", "", "/a"), selected("with", "", "/a/")}, "api", "/a/b", "with"},
		{"the root before no path", []Policy{selected("none", "api", ""), selected("root", "api", "/")}, "api", "/x", "root"},
		{"a name before a wildcard", []Policy{selected("wild", "*.example", "/a/b"), selected("name", "api.example", "")}, "api.example", "/a/b", "name"},
		{"a longer wildcard", []Policy{selected("short", "*.example", "/a"), selected("long", "*.api.example", "")}, "x.api.example", "/a", "long"},
		{"a host before none", []Policy{selected("path", "", "/a/b"), selected("host", "*.example", "")}, "x.example", "/a/b", "host"},
		{"a port before any port", []Policy{selected("any", "api:*", "/a"), selected("one", "api:1", "")}, "api:1", "/a", "one"},
		{"no port before any port", []Policy{selected("any", "api:*", "/a"), selected("one", "api", "")}, "api", "/a", "one"},
		{"a name without a port before a wildcard with it", []Policy{selected("wild", "*.example:1", "/a"), selected("name", "api.example:*", "")}, "api.example:1", "/a", "name"},
		{"a less specific host where the path of the other is another", []Policy{selected("name", "api.example", "/a"), selected("wild", "*.example", "")}, "api.example", "/b", "wild"},
		{"by the host that matches, not by another of the policy", []Policy{selected("two", "other.example *.example", ""), selected("one", "*.api.example", "")}, "x.api.example", "/", "one"},
		{"by the path that matches, not by another of the policy", []Policy{selected("two", "", "/a /other/long/path"), selected("one", "", "/a/b")}, "api", "/a/b", "one"},
		{"the best of several hosts", []Policy{selected("two", "*.example api.example", ""), selected("one", "*.example", "/a")}, "api.example", "/a", "two"},
		{"the higher priority", []Policy{prioritized(selected("low", "api", "/a"), -1), selected("high", "api", "/a")}, "api", "/a", "high"},
		{"the longer path before the higher priority", []Policy{prioritized(selected("high", "api", "/a"), 9), selected("long", "api", "/a/b")}, "api", "/a/b", "long"},
		{"nothing decides", []Policy{selected("x", "api", "/a"), selected("y", "other api", "/b /a")}, "api", "/a/c", "ambiguous_policy"},
		{"nothing decides, and a more specific one is there", []Policy{selected("x", "api", ""), selected("y", "api", ""), selected("z", "api", "/a")}, "api", "/a", "z"},
		{"nothing decides between lower ones", []Policy{selected("x", "api", ""), selected("y", "api", ""), prioritized(selected("z", "api", ""), 1)}, "api", "/a", "z"},
		{"in any case", []Policy{anyCase(selected("p", "", "/Admin"))}, "api", "/aDMIN/x", "p"},
		{"in any case, in any alphabet", []Policy{anyCase(selected("p", "", "/skizze/é"))}, "api", "/\u017f\u212a\u0130zze/É", "p"},
		{"the case as it is before any case", []Policy{anyCase(selected("any", "", "/admin")), selected("exact", "", "/admin")}, "api", "/admin", "exact"},
		{"any case where that is longer", []Policy{anyCase(selected("any", "", "/admin/x")), selected("exact", "", "/admin")}, "api", "/admin/X", "any"},
		{"nothing decides in any case", []Policy{anyCase(selected("x", "", "/A")), anyCase(selected("y", "", "/a"))}, "api", "/a", "ambiguous_policy"},
		{"a port that may count or not, to the same policy", []Policy{selected("p", "api api:1", "")}, "api:1", "/", "p"},
		{"a port that may count or not, where the path is another", []Policy{selected("p", "api", "/a"), selected("any", "api:*", "")}, "api:1", "/b", "any"},
		{"a port that may count or not", []Policy{selected("p", "api", "/a"), selected("any", "api:*", "")}, "api:1", "/a", "ambiguous_host"},
		{"a path that may be any, and no path counts for that host", []Policy{selected("host", "api", ""), selected("path", "", "/a")}, "api", "/a%2fb", "host"},
		{"a path that may be any", []Policy{selected("host", "api", ""), selected("path", "api", "/a")}, "api", "/x/../y", "ambiguous_path"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range [][]Policy{test.policies, reversed(test.policies)} {
				s, err := NewSnapshot(order, nil, map[string]Source{"v": &fakeSource{}})
				if err != nil {
					t.Fatal(err)
				}
				c := s.choose(&Request{HTTP: true, Host: test.host, Path: test.path})
				got := c.reason.String()
				if c.policy != nil {
					got = c.policy.Name
				}
				if got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			}
		})
	}
}

func reversed(policies []Policy) []Policy {
	policies = slices.Clone(policies)
	slices.Reverse(policies)
	return policies
}

// A path is looked up by its length up to 63 bytes.
func TestAPathOfAnyLengthIsFound(t *testing.T) {
	t.Parallel()
	for length := 1; length <= 130; length++ {
		path := "/" + strings.Repeat("a", length-1)
		for _, p := range []Policy{selected("p", "", path), anyCase(selected("p", "", path))} {
			s, err := NewSnapshot([]Policy{p}, nil, map[string]Source{"v": &fakeSource{}})
			if err != nil {
				t.Fatal(err)
			}
			for _, asked := range []string{path, strings.TrimSuffix(path, "/") + "/7"} {
				if c := s.choose(&Request{HTTP: true, Host: "api", Path: asked}); c.policy == nil {
					t.Errorf("a path of %d bytes, in any case %t: %q is not governed by it", length, p.IgnoreCase, asked)
				}
			}
		}
	}
}

func TestMatchingPoliciesAreInTheOrderInWhichTheyWouldGovern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		policies   []Policy
		host, path string
		want       string
	}{
		{"a port that may count or not", []Policy{selected("any", "api:*", ""), selected("none", "api", ""), selected("one", "api:1", "")}, "api:1", "/", "one none any"},
		{"the case as it is before any case", []Policy{anyCase(selected("any", "", "/ſ")), selected("exact", "", "/ſ")}, "api", "/ſ", "exact any"},
		{"a path that may be any", []Policy{selected("short", "", "/a"), selected("long", "", "/a/b"), selected("host", "api", "")}, "api", "/x/../y", "host long short"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := NewSnapshot(test.policies, nil, map[string]Source{"v": &fakeSource{}})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(namesOf(s.Matching(&Request{HTTP: true, Host: test.host, Path: test.path})), " ")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestADenialForATieNamesThePolicies(t *testing.T) {
	t.Parallel()
	s, err := NewSnapshot([]Policy{selected("open", "api", ""), selected("strict", "api", ""), selected("rest", "", "/")}, nil, map[string]Source{"v": &fakeSource{}})
	if err != nil {
		t.Fatal(err)
	}
	d := New(s, NewDigester(), DefaultGrammar()).Check(t.Context(), &Request{HTTP: true, Host: "api", Path: "/", Explain: true})
	if d.Allowed || d.Reason != ReasonAmbiguousPolicy || d.Err == nil {
		t.Fatalf("got %+v", d)
	}
	if want := `policies "open" and "strict" tie: they have host "api", any path and priority 0 in common; give one of them another priority, or other hosts or paths`; d.Err.Error() != want {
		t.Errorf("got %q, want %q", d.Err, want)
	}
	if want := []string{"open", "strict", "rest"}; !slices.Equal(d.Matching, want) {
		t.Errorf("matching: got %v, want %v", d.Matching, want)
	}
}

func TestTiesAreReportedOnceForTheSamePolicies(t *testing.T) {
	t.Parallel()
	ties := Ties([]Policy{
		selected("b", "api *.example", "/x /y"), selected("a", "*.example api:*", "/y /x"), selected("c", "api", "/x"),
		selected("by route", "", ""), selected("by another route", "", ""),
	})
	var got []string
	for _, tie := range ties {
		got = append(got, strings.Join(tie.Policies, " ")+" "+tie.Host+tie.Path)
	}
	if want := []string{"a b *.example/x", "b c api/x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is deleted must not make another policy the default.
func TestNoPolicyIsTheDefaultUnlessItSaysSo(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Policy){
		"a lone policy":                       func(*Policy) {},
		"one that shadows":                    func(p *Policy) { p.Shadow = true },
		"one that lets anonymous requests in": func(p *Policy) { p.Anonymous = "visitor" },
	} {
		p := selected("lone", "", "")
		change(&p)
		s, err := NewSnapshot([]Policy{p}, testConsumers(), map[string]Source{"v": &fakeSource{}})
		if err != nil {
			t.Fatal(err)
		}
		if d := New(s, NewDigester(), DefaultGrammar()).Check(t.Context(), good()); d.Allowed || d.Reason != ReasonNoPolicy {
			t.Errorf("%s: got allowed=%t reason=%s, want a denial for no_policy", name, d.Allowed, d.Reason)
		}
	}
}

func TestARouteThatNamesAPolicyBadlyIsDenied(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, name := range []string{"", " ", "DEFAULT", "default "} {
		r := good()
		r.NamesPolicy, r.PolicyName = true, name
		if d := b.Check(t.Context(), r); d.Allowed || d.Reason != ReasonNoPolicy {
			t.Errorf("%q: got allowed=%t reason=%s, want a denial for no_policy", name, d.Allowed, d.Reason)
		}
	}
}

// It is for people, and takes time.
func TestMatchingPoliciesAreToldWhereTheyAreAskedForOnly(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Request, *Policy){
		"authenticated":           func(*Request, *Policy) {},
		"denied":                  func(r *Request, _ *Policy) { r.Headers = nil },
		"anonymous":               func(r *Request, p *Policy) { r.Headers, p.Anonymous = nil, "visitor" },
		"in the shadow":           func(r *Request, p *Policy) { r.Headers, p.Shadow = nil, true },
		"a preflight":             func(r *Request, p *Policy) { *r, p.RunOnPreflight = *preflight(), false },
		"a policy of a name":      func(r *Request, _ *Policy) { r.PolicyName = "default" },
		"a policy of no name":     func(r *Request, _ *Policy) { r.NamesPolicy = true },
		"something but a request": func(r *Request, _ *Policy) { r.HTTP = false },
	} {
		r := good()
		b := newBench(t, func(p *Policy) { change(r, p) })
		if d := b.Check(t.Context(), r); d.Matching != nil {
			t.Errorf("%s: got %v though nobody asked", name, d.Matching)
		}
		r.Explain = true
		want := []string{"default"}
		if r.NamesPolicy || r.PolicyName != "" || !r.HTTP {
			want = nil
		}
		if d := b.Check(t.Context(), r); !slices.Equal(d.Matching, want) {
			t.Errorf("%s: got %v, want %v", name, d.Matching, want)
		}
	}
}

func TestPoliciesAreListedMostSpecificFirst(t *testing.T) {
	t.Parallel()
	rest := selected("rest", "", "")
	rest.Default = true
	want := []Policy{
		prioritized(selected("exact", "api.example *.example", "/a/b"), 1), selected("same", "api.example", "/a/b"), selected("shorter", "api.example", "/a"),
		anyCase(selected("shorter in any case", "api.example", "/a")), selected("host", "api.example", ""),
		selected("any port", "api.example:*", "/a/b/c"), selected("long wildcard", "*.api.example", ""), selected("wildcard", "*.example", ""),
		selected("path", "", "/a"), rest, selected("by route", "", ""), selected("by route too", "", ""),
	}
	got := reversed(want)
	slices.SortFunc(got, func(a, b Policy) int { return a.Compare(&b) })
	for i := range want {
		if got[i].Name != want[i].Name {
			t.Errorf("place %d: got %q, want %q", i, got[i].Name, want[i].Name)
		}
	}
}

func TestPolicyOptionsThatDoNothingAreMistakes(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Policy{
		"ignore_case: it applies to paths only": anyCase(selected("p", "api", "")),
		"priority: it applies to policies":      prioritized(selected("p", "", ""), 1),
		"priority: 1000001":                     prioritized(selected("p", "api", ""), 1000001),
		"priority: -1000001":                    prioritized(selected("p", "api", ""), -1000001),
		`paths: "/a."`:                          selected("p", "", "/a."),
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestPrioritiesUpToTheirBoundsAreValid(t *testing.T) {
	t.Parallel()
	for _, priority := range []int{-1000000, 1000000} {
		if p := prioritized(selected("p", "api", ""), priority); p.Validate() != nil {
			t.Errorf("priority %d: %v", priority, p.Validate())
		}
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

func TestPoliciesShareNoNameAndNoID(t *testing.T) {
	t.Parallel()
	policyOf := func(name, id string) Policy {
		p := DefaultPolicy()
		p.Name, p.ID, p.Vault = name, id, "v"
		return p
	}
	for _, test := range []struct {
		name  string
		other Policy
		taken string
	}{
		{"another name and id", policyOf("stock", bobID), ""},
		{"no id", policyOf("stock", ""), ""},
		{"an id that is its own name", policyOf("stock", "stock"), ""},
		{"the same name", policyOf("orders", bobID), `name: "orders" is taken`},
		{"the same id", policyOf("stock", aliceID), "is taken by another policy"},
		{"the other's id for a name", policyOf(aliceID, bobID), "is taken by another policy"},
		{"the other's name for an id", policyOf("stock", "orders"), `name: "orders" is taken`},
	} {
		_, err := NewSnapshot([]Policy{policyOf("orders", aliceID), test.other}, nil, map[string]Source{"v": &fakeSource{}})
		t.Run(test.name, func(t *testing.T) { wantMistake(t, err, test.taken) })
	}
}

func TestAMistakeSaysWhichVaultObjectsThereAre(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Name, p.Vault = "orders", "nope"
	_, err := NewSnapshot([]Policy{p}, nil, nil)
	wantMistake(t, err, "there are: none")
	_, err = NewSnapshot([]Policy{p}, nil, map[string]Source{"b": &fakeSource{}, "a": &fakeSource{}})
	wantMistake(t, err, "there are: a, b")
}

func TestAConsumerInAMistakeIsCalledByItsNameOrElseItsCustomID(t *testing.T) {
	t.Parallel()
	_, err := NewSnapshot(nil, []Consumer{{ID: "x", Username: "alice", CustomID: "c-1"}, {ID: "y", CustomID: "c-2"}}, nil)
	wantMistake(t, err, `consumers[0] "alice"`)
	wantMistake(t, err, `consumers[1] "c-2"`)
}
