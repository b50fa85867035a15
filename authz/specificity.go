package authz

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A hostRule is one of a policy's hosts in its parts. The name of a wild one is
// what names end in, and begins with a dot.
type hostRule struct {
	name, port string
	wild       bool
}

func parseHostRule(host string) (h hostRule) {
	h.name, h.port, _ = strings.Cut(host, ":")
	h.name, h.wild = strings.CutPrefix(h.name, "*")
	return h
}

// compareHosts is negative where a is the more specific host: a name before a
// wildcard, a longer wildcard before a shorter one, and then one port, or none,
// before any port.
func compareHosts(a, b string) int {
	rank := func(host string) (wild, length, anyPorts int) {
		h := parseHostRule(host)
		if h.wild {
			wild, length = 1, len(h.name)
		}
		if h.port == anyPort {
			anyPorts = 1
		}
		return wild, length, anyPorts
	}
	aWild, aLength, aPorts := rank(a)
	bWild, bLength, bPorts := rank(b)
	return cmp.Or(cmp.Compare(aWild, bWild), cmp.Compare(bLength, aLength), cmp.Compare(aPorts, bPorts))
}

// Compare is negative where p comes before o in a list of policies that has the
// most specific ones first and the default last, positive where it comes after.
// Of several hosts or paths the most specific counts; for one request only those
// count that it has, see [Policy.Hosts].
func (p *Policy) Compare(o *Policy) int {
	kind := func(p *Policy) int {
		switch {
		case len(p.Hosts)+len(p.Paths) > 0:
			return 0
		case p.Default:
			return 1
		}
		return 2
	}
	return cmp.Or(
		cmp.Compare(kind(p), kind(o)),
		compareMost(p.Hosts, o.Hosts, compareHosts),
		compareMost(p.Paths, o.Paths, func(a, b string) int { return cmp.Compare(len(b), len(a)) }),
		compareFalseFirst(p.IgnoreCase, o.IgnoreCase),
		cmp.Compare(o.Priority, p.Priority),
		cmp.Compare(p.Name, o.Name),
	)
}

// compareMost compares the first of two lists by an order. A list comes before
// none.
func compareMost(a, b []string, order func(a, b string) int) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	return order(slices.MinFunc(a, order), slices.MinFunc(b, order))
}

func compareFalseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// A Tie is policies that select the same requests, and nothing says which of them
// governs. Those requests are denied.
type Tie struct {
	// Policies are the names, in order.
	Policies []string
	// Host and Path are what they have in common, empty for all hosts or paths.
	Host, Path string
	Priority   int
}

// Error says what to do about it.
func (t *Tie) Error() string {
	quoted := make([]string, len(t.Policies))
	for i, name := range t.Policies {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	what := func(kind, value string) string {
		if value == "" {
			return "any " + kind
		}
		return fmt.Sprintf("%s %q", kind, value)
	}
	return fmt.Sprintf("policies %s tie: they have %s, %s and priority %d in common; give one of them another priority, or other hosts or paths",
		strings.Join(quoted, " and "), what("host", t.Host), what("path", t.Path), t.Priority)
}

// tie returns the tie between the policies of a rule.
func (r *rule) tie() *Tie {
	t := &Tie{Host: r.host, Path: r.path, Priority: r.policies[0].Priority}
	for _, p := range r.policies {
		if p.Priority == t.Priority {
			t.Policies = append(t.Policies, p.Name)
		}
	}
	return t
}

// Ties returns the ties among policies, one for the same policies. A snapshot of
// them denies the requests that it cannot decide about; whoever makes or declares
// policies refuses them.
func Ties(policies []Policy) []*Tie {
	s := newSelection()
	for i := range policies {
		if len(policies[i].Hosts)+len(policies[i].Paths) > 0 {
			s.add(&policy{Policy: policies[i]})
		}
	}
	var ties []*Tie
	for r := range s.rules {
		if r.tied() {
			ties = append(ties, r.tie())
		}
	}
	slices.SortFunc(ties, func(a, b *Tie) int {
		return cmp.Or(slices.Compare(a.Policies, b.Policies), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path))
	})
	return slices.CompactFunc(ties, func(a, b *Tie) bool { return slices.Equal(a.Policies, b.Policies) })
}

// rules goes over all rules, in no order.
func (s *selection) rules(yield func(*rule) bool) {
	all := []*pathRules{s.everywhere}
	for _, names := range []map[string]*hostRules{s.exact, s.below} {
		for h := range maps.Values(names) {
			all = append(all, h.portless, h.anyPort)
			all = slices.AppendSeq(all, maps.Values(h.ports))
		}
	}
	for _, p := range all {
		if p == nil {
			continue
		}
		for _, r := range p.every() {
			if !yield(r) {
				return
			}
		}
	}
}

// every returns all rules of a host.
func (p *pathRules) every() []*rule {
	all := slices.AppendSeq(slices.Collect(maps.Values(p.exact.rules)), maps.Values(p.folded.rules))
	if p.any != nil {
		all = append(all, p.any)
	}
	return all
}

// Matching returns the policies whose hosts and paths select a request, the most
// specific first and the default last: the first governs, unless it ties with the
// next. Where a port may count or not, or the path may be any, it has all that
// could govern. There are none where a policy is named, or the host is read in
// more ways than one.
func (s *Snapshot) Matching(r *Request) (all []*Policy) {
	s.eachMatching(r, func(p *policy, _ *rule) { all = append(all, &p.Policy) })
	return all
}

// A Match is a policy that selects a request, and why it does.
type Match struct {
	Policy string `json:"policy"`
	// Host and Path are the rule of the policy that the request meets, empty for any.
	Host     string `json:"host,omitempty"`
	Path     string `json:"path,omitempty"`
	Priority int    `json:"priority,omitempty"`
	// Default says that the policy selects what no other one does.
	Default bool `json:"default,omitempty"`
}

// matches is Matching with the rules by which the policies match.
func (s *Snapshot) matches(r *Request) (all []Match) {
	s.eachMatching(r, func(p *policy, by *rule) {
		if by == nil {
			all = append(all, Match{Policy: p.Name, Default: true})
			return
		}
		all = append(all, Match{Policy: p.Name, Host: by.host, Path: by.path, Priority: p.Priority})
	})
	return all
}

// eachMatching calls add with each policy of [Snapshot.Matching], and with the first rule by which
// it matches, nil for the default.
func (s *Snapshot) eachMatching(r *Request, add func(*policy, *rule)) {
	if !r.HTTP || r.NamesPolicy || r.PolicyName != "" {
		return
	}
	var q query
	if !s.selection.read(r, &q) {
		return
	}
	q.portCounts = false
	var paths []*pathRules
	for h := range s.selection.rulesFor(q.host) {
		inOrder := h.inOrder(&q)
		paths = append(paths, inOrder[:]...)
	}
	told := map[*policy]bool{}
	once := func(p *policy, by *rule) {
		if !told[p] {
			told[p] = true
			add(p, by)
		}
	}
	for _, p := range append(paths, s.selection.everywhere) {
		for _, rule := range p.matching(&q) {
			for _, p := range rule.policies {
				once(p, rule)
			}
		}
	}
	if s.fallback != nil {
		once(s.fallback, nil)
	}
}

// explain returns the names of the policies that match, if they are asked for.
func (s *Snapshot) explain(r *Request) (names []string) {
	if !r.Explain {
		return nil
	}
	for _, p := range s.Matching(r) {
		names = append(names, p.Name)
	}
	return names
}

// matching returns the rules that select a path, the longest first. A path that is
// not plain may be any.
func (p *pathRules) matching(q *query) []*rule {
	if p == nil {
		return nil
	}
	type match struct {
		rule   *rule
		depth  int
		folded bool
	}
	var all []match
	for prefix, r := range p.exact.rules {
		if !q.plain || begins(q.path, prefix) {
			all = append(all, match{r, depthOf(prefix), false})
		}
	}
	for prefix, r := range p.folded.rules {
		if !q.plain || begins(q.folded, prefix) {
			all = append(all, match{r, depthOf(prefix), true})
		}
	}
	if p.any != nil {
		all = append(all, match{rule: p.any})
	}
	slices.SortFunc(all, func(a, b match) int {
		return cmp.Or(cmp.Compare(b.depth, a.depth), compareFalseFirst(a.folded, b.folded), cmp.Compare(a.rule.path, b.rule.path))
	})
	rules := make([]*rule, len(all))
	for i := range all {
		rules[i] = all[i].rule
	}
	return rules
}

// begins says whether a path begins with a prefix that ends at a segment.
func begins(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/"))
}

// depthOf is the depth of a prefix as [prefixes.deepest] counts it.
func depthOf(path string) int {
	depth := 2 * strings.Count(path, "/")
	if strings.HasSuffix(path, "/") {
		depth--
	}
	return depth
}
