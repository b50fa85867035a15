package authz

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// outcome is what [Snapshot.choose] comes to, in words.
type outcome struct {
	policy string
	reason Reason
}

// chooseByRank is what [Snapshot.choose] must come to: it goes over the policies
// one by one and takes the most specific, as the documentation of [Policy] tells
// it, for both ways to read a port.
func chooseByRank(policies []*policy, fallback *policy, r *Request) outcome {
	byHost := slices.ContainsFunc(policies, func(p *policy) bool { return len(p.Hosts) > 0 })
	host, port, known := canonicalHost(r.Host)
	if byHost && !known {
		return outcome{reason: ReasonAmbiguousHost}
	}
	counts, ignored := best(policies, host, port, r.Path, true), best(policies, host, port, r.Path, false)
	switch {
	case counts != ignored:
		return outcome{reason: ReasonAmbiguousHost}
	case counts == outcome{} && fallback != nil:
		return outcome{policy: fallback.Name}
	case counts == outcome{}:
		return outcome{reason: ReasonNoPolicy}
	}
	return counts
}

// A ranked policy selects a request by one of its hosts and one of its paths. rank
// is compared number by number.
type ranked struct {
	policy *policy
	rank   [6]int
	byPath bool
}

func best(policies []*policy, host, port, target string, portCounts bool) outcome {
	path, plain := canonicalPath(target)
	var all []ranked
	for _, p := range policies {
		for _, h := range orNone(p.Hosts) {
			for _, prefix := range orNone(p.Paths) {
				rank, selects := rankOf(p, h, prefix, host, port, path, plain, portCounts)
				if selects {
					all = append(all, ranked{p, rank, prefix != ""})
				}
			}
		}
	}
	if len(all) == 0 {
		return outcome{}
	}
	slices.SortFunc(all, func(a, b ranked) int { return slices.Compare(b.rank[:], a.rank[:]) })
	first := all[0]
	if !plain && slices.ContainsFunc(all, func(r ranked) bool { return r.byPath && slices.Equal(r.rank[:3], first.rank[:3]) }) {
		// A path that may be any: one of the policies with this host may govern it.
		return outcome{reason: ReasonAmbiguousPath}
	}
	for _, r := range all[1:] {
		if r.rank == first.rank && r.policy != first.policy {
			return outcome{reason: ReasonAmbiguousPolicy, policy: tieOf(all)}
		}
	}
	return outcome{policy: first.policy.Name}
}

// tieOf tells ties of other hosts or paths apart, as far as it matters: that a port
// may count or not is a reason of its own to deny.
func tieOf(all []ranked) string {
	return fmt.Sprint("tie at ", all[0].rank[:5])
}

func orNone(l []string) []string {
	if len(l) == 0 {
		return []string{""}
	}
	return l
}

func rankOf(p *policy, h, prefix, host, port, path string, plain, portCounts bool) (rank [6]int, selects bool) {
	if h != "" {
		name, wanted, _ := strings.Cut(h, ":")
		suffix, wild := strings.CutPrefix(name, "*")
		switch {
		case name == host:
			rank[0] = 2
		case wild && len(host) > len(suffix) && strings.HasSuffix(host, suffix):
			rank[0], rank[1] = 1, len(suffix)
		default:
			return rank, false
		}
		switch {
		case wanted == port:
			rank[2] = 2
		case wanted == "" && !portCounts:
			rank[2] = 1
		case wanted != anyPort:
			return rank, false
		}
	}
	rank[5] = p.Priority
	if prefix == "" {
		return rank, true
	}
	if !plain {
		return rank, true
	}
	segments := strings.Split(path, "/")
	for n := len(segments); n > 0; n-- {
		for length, candidate := range map[int]string{2 * n: strings.Join(segments[:n], "/"), 2*n + 1: strings.Join(segments[:n], "/") + "/"} {
			if length%2 == 1 && n == len(segments) {
				continue // there is no slash behind it
			}
			if candidate == prefix && !p.IgnoreCase {
				rank[3], rank[4] = length, 1
				return rank, true
			}
			if p.IgnoreCase && strings.EqualFold(candidate, prefix) {
				rank[3] = length
				return rank, true
			}
		}
	}
	return rank, false
}

// selectors are policies that overlap as often as not, and requests for them.
type selectors struct{ hosts, rules, prefixes, targets *rapid.Generator[string] }

func newSelectors() selectors {
	names := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "c.b", "d.c.b.a", "aa"})
	return selectors{
		rules: rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "", "*."}).Draw(t, "wild") + names.Draw(t, "name") +
				rapid.SampledFrom([]string{"", "", ":1", ":2", ":*"}).Draw(t, "port")
		}),
		prefixes: rapid.SampledFrom([]string{"/", "/x", "/x/", "/X", "/x/y", "/x/y/", "/xx", "/x/y/z", "/k", "/é"}),
		hosts: rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "", "e.", ".", "E."}).Draw(t, "below") + names.Draw(t, "name") +
				rapid.SampledFrom([]string{"", "", ":1", ":2", ":3", ":"}).Draw(t, "port")
		}),
		targets: rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "/x", "/X", "/x/y", "/xx", "/%78", "/x/y/z", "/x/Y/z", "/q", "/K", "/\u212a", "/É"}).Draw(t, "path") +
				rapid.SampledFrom([]string{"", "/", "//", "/%2f", "/r", "/y?z=/x", ".", "%20"}).Draw(t, "end")
		}),
	}
}

func (s selectors) policies(t *rapid.T) []*policy {
	var policies []*policy
	for i := range rapid.IntRange(0, 8).Draw(t, "policies") {
		p := &policy{Policy: Policy{
			Name: fmt.Sprint(i), Hosts: rapid.SliceOfN(s.rules, 0, 3).Draw(t, "hosts"), Paths: rapid.SliceOfN(s.prefixes, 0, 3).Draw(t, "paths"),
		}}
		if len(p.Paths) > 0 {
			p.IgnoreCase = rapid.Bool().Draw(t, "ignore case")
		}
		if len(p.Paths)+len(p.Hosts) > 0 {
			p.Priority = rapid.IntRange(-1, 1).Draw(t, "priority")
		}
		if err := p.validateSelection(); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	return policies
}

func (s selectors) request(t *rapid.T) *Request {
	return &Request{HTTP: true, Host: s.hosts.Draw(t, "host"), Path: s.targets.Draw(t, "target")}
}

func snapshotOf(policies []*policy) *Snapshot {
	s := &Snapshot{selection: newSelection()}
	for _, p := range policies {
		if len(p.Hosts)+len(p.Paths) > 0 {
			s.selection.add(p)
		}
	}
	return s
}

func nameOf(p *policy) string {
	if p == nil {
		return ""
	}
	return p.Name
}

func selecting(policies []*policy) []*policy {
	return slices.DeleteFunc(slices.Clone(policies), func(p *policy) bool { return len(p.Hosts)+len(p.Paths) == 0 })
}

func TestSelectionIsThatOfTheMostSpecificPolicy(t *testing.T) {
	t.Parallel()
	g := newSelectors()
	rapid.Check(t, func(t *rapid.T) {
		policies := g.policies(t)
		s := snapshotOf(policies)
		if rapid.Bool().Draw(t, "default") {
			s.fallback = &policy{Policy: Policy{Name: "default"}}
		}
		for range 10 {
			r := g.request(t)
			c := s.choose(r)
			want := chooseByRank(selecting(policies), s.fallback, r)
			if want.reason != ReasonUnset {
				want.policy = ""
			}
			if got := (outcome{nameOf(c.policy), c.reason}); got != want {
				t.Fatalf("host %q, target %q: got %+v, want %+v", r.Host, r.Path, got, want)
			}
			if (c.tied != nil) != (c.reason == ReasonAmbiguousPolicy) {
				t.Fatalf("host %q, target %q: %s with a tie: %t", r.Host, r.Path, c.reason, c.tied != nil)
			}
		}
	})
}

// Policies that are made through the API are listed in an order of chance.
func TestSelectionDoesNotDependOnTheOrderOfPolicies(t *testing.T) {
	t.Parallel()
	g := newSelectors()
	rapid.Check(t, func(t *rapid.T) {
		policies := g.policies(t)
		shuffled := rapid.Permutation(policies).Draw(t, "order")
		one, other := snapshotOf(policies), snapshotOf(shuffled)
		for range 10 {
			r := g.request(t)
			a, b := one.choose(r), other.choose(r)
			if a.policy != b.policy || a.reason != b.reason {
				t.Fatalf("host %q, target %q: got %s %s, and %s %s in another order", r.Host, r.Path, nameOf(a.policy), a.reason, nameOf(b.policy), b.reason)
			}
			if a.tied != nil && a.tied.tie().Error() != b.tied.tie().Error() {
				t.Fatalf("got the tie %q, and %q in another order", a.tied.tie(), b.tied.tie())
			}
			if x, y := namesOf(one.Matching(r)), namesOf(other.Matching(r)); !slices.Equal(x, y) {
				t.Fatalf("host %q, target %q: got %v, and %v in another order", r.Host, r.Path, x, y)
			}
		}
		if x, y := tieTexts(policies), tieTexts(shuffled); !slices.Equal(x, y) {
			t.Fatalf("got the ties %q, and %q in another order", x, y)
		}
	})
}

func namesOf(policies []*Policy) []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.Name)
	}
	return names
}

func tieTexts(policies []*policy) []string {
	var plain []Policy
	for _, p := range policies {
		plain = append(plain, p.Policy)
	}
	var texts []string
	for _, tie := range Ties(plain) {
		texts = append(texts, tie.Error())
	}
	return texts
}

// Policies that may be made together are never ambiguous, and of those that may
// not some request is.
func TestWhereNoPoliciesTieNoRequestIsDeniedForIt(t *testing.T) {
	t.Parallel()
	g := newSelectors()
	rapid.Check(t, func(t *rapid.T) {
		policies := g.policies(t)
		s, ties := snapshotOf(policies), tieTexts(policies)
		for range 10 {
			r := g.request(t)
			if c := s.choose(r); c.tied != nil && !slices.Contains(ties, c.tied.tie().Error()) && !slices.ContainsFunc(Ties(plainOf(policies)), func(tie *Tie) bool {
				return slices.Equal(tie.Policies, c.tied.tie().Policies)
			}) {
				t.Fatalf("host %q, target %q: %v, which is not among %q", r.Host, r.Path, c.tied.tie(), ties)
			}
		}
		for _, tie := range Ties(plainOf(policies)) {
			r := &Request{HTTP: true, Host: exampleHost(tie.Host), Path: cmp.Or(tie.Path, "/none")}
			if got := namesOf(s.Matching(r)); !containsAll(got, tie.Policies) {
				t.Fatalf("%v: a request for %q %q is selected by %v only", tie, r.Host, r.Path, got)
			}
		}
	})
}

func plainOf(policies []*policy) []Policy {
	var plain []Policy
	for _, p := range policies {
		plain = append(plain, p.Policy)
	}
	return plain
}

// exampleHost is a host that a rule selects.
func exampleHost(rule string) string {
	name, port, _ := strings.Cut(rule, ":")
	if suffix, wild := strings.CutPrefix(name, "*"); wild {
		name = "any" + suffix
	}
	switch port {
	case "":
		return cmp.Or(name, "none")
	case anyPort:
		port = "9"
	}
	return name + ":" + port
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// What is told about a request is what decides about it.
func TestTheFirstOfTheMatchingPoliciesGoverns(t *testing.T) {
	t.Parallel()
	g := newSelectors()
	rapid.Check(t, func(t *rapid.T) {
		s := snapshotOf(g.policies(t))
		if rapid.Bool().Draw(t, "default") {
			s.fallback = &policy{Policy: Policy{Name: "default"}}
		}
		for range 10 {
			r := g.request(t)
			c, matching := s.choose(r), namesOf(s.Matching(r))
			switch {
			case c.policy != nil && (len(matching) == 0 || matching[0] != c.policy.Name):
				t.Fatalf("host %q, target %q: %s governs, and %v match", r.Host, r.Path, c.policy.Name, matching)
			case c.reason == ReasonNoPolicy && len(matching) > 0:
				t.Fatalf("host %q, target %q: none governs, and %v match", r.Host, r.Path, matching)
			case c.tied != nil && !slices.Equal(c.tied.tie().Policies, slices.Sorted(slices.Values(matching[:len(c.tied.tie().Policies)]))):
				t.Fatalf("host %q, target %q: %v tie, and %v match", r.Host, r.Path, c.tied.tie().Policies, matching)
			}
		}
	})
}

// FuzzSelection states: whatever a client sends as host and path, the choice is the
// one by rank, and does not depend on the order of policies.
func FuzzSelection(f *testing.F) {
	var policies []*policy
	add := func(name string, change func(*Policy)) {
		p := &policy{Policy: Policy{Name: name}}
		change(&p.Policy)
		policies = append(policies, p)
	}
	add("exact", func(p *Policy) { p.Hosts, p.Paths = []string{"api.example.com"}, []string{"/a", "/a/b/"} })
	add("any case", func(p *Policy) { p.Paths, p.IgnoreCase = []string{"/admin", "/A/B"}, true })
	add("wild", func(p *Policy) { p.Hosts = []string{"*.example.com", "*.api.example.com:*"} })
	add("ports", func(p *Policy) {
		p.Hosts, p.Paths, p.Priority = []string{"api.example.com:8443", "p.example:*"}, []string{"/"}, 1
	})
	add("tie one", func(p *Policy) { p.Hosts = []string{"tie.example.com"} })
	add("tie two", func(p *Policy) { p.Hosts = []string{"tie.example.com"} })
	for _, s := range [][2]string{
		{"api.example.com", "/a/b/c"},
		{"API.example.com:8443", "/ADMIN"},
		{"x.api.example.com:1", "/%41/b"},
		{"tie.example.com", "/"},
		{"p.example", "/admin%20"},
		{"a\u0130.example.com", "/\u212a"},
		{"[::1]:80", "//"},
		{"api.example.com:80", "/a/../b"},
	} {
		f.Add(s[0], s[1])
	}
	one := snapshotOf(policies)
	backwards := slices.Clone(policies)
	slices.Reverse(backwards)
	other := snapshotOf(backwards)
	f.Fuzz(func(t *testing.T, host, target string) {
		r := &Request{HTTP: true, Host: host, Path: target}
		c, again, want := one.choose(r), other.choose(r), chooseByRank(policies, nil, r)
		if want.reason != ReasonUnset {
			want.policy = ""
		}
		if got := (outcome{nameOf(c.policy), c.reason}); got != want {
			t.Fatalf("host %q, target %q: got %+v, want %+v", host, target, got, want)
		}
		if c.policy != again.policy || c.reason != again.reason {
			t.Fatalf("host %q, target %q: got %s %s, and %s %s in another order", host, target, nameOf(c.policy), c.reason, nameOf(again.policy), again.reason)
		}
	})
}

// What a client sends as host and path is looked up piece by piece: the pieces
// must not be more than what rules can have.
func TestSelectionIsQuickWhateverAClientSends(t *testing.T) {
	t.Parallel()
	s := snapshotOf([]*policy{
		{Policy: Policy{Name: "a", Hosts: []string{"*.example.com"}, Paths: []string{"/a/b/c"}}},
		{Policy: Policy{Name: "b", Paths: []string{"/a/b/c"}}},
		{Policy: Policy{Name: "c", Paths: []string{"/a/b/c"}, IgnoreCase: true}},
	})
	took := func(segment string, times int) time.Duration {
		r := &Request{HTTP: true, Host: strings.Repeat("a.", times) + "example.com:1", Path: "/" + strings.Repeat(segment, times)}
		began := time.Now()
		_ = s.choose(r)
		return time.Since(began)
	}
	for _, segment := range []string{"a/", "A/", "é"} {
		// Sixteen times as long: linear time is 16 times as much, quadratic time 256 times.
		// Other programs on the machine slow down some of the rounds, never all.
		short, long := time.Duration(math.MaxInt64/64), time.Duration(math.MaxInt64)
		for round := 0; round < 10 || long > 64*short && round < 1000; round++ {
			short, long = min(short, took(segment, 1<<11)), min(long, took(segment, 1<<15))
		}
		if long > 64*short {
			t.Errorf("%q: took %s, and %s for a request 16 times as long", segment, short, long)
		}
	}
}
