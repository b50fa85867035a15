package authz

import "iter"

// A choice is the policy that governs a request, or the reason to deny it.
type choice struct {
	policy *policy
	reason Reason
	// tied are the policies between which nothing decides.
	tied *rule
}

// denial denies where no policy governs.
func (c choice) denial(s *Snapshot, r *Request) Decision {
	d := Decision{Reason: c.reason, Matching: s.explain(r)}
	if c.tied != nil {
		d.Err = c.tied.tie()
	}
	return d
}

// choose returns the policy that governs r, or the reason to deny. The
// policy that the route names counts first; host and path are for gateways whose
// routes cannot name one (Istio). Nothing else of the request counts: no forwarded
// URI, no user agent.
func (s *Snapshot) choose(r *Request) choice {
	if !r.HTTP {
		return choice{reason: ReasonNotHTTP}
	}
	if r.NamesPolicy || r.PolicyName != "" {
		if p := s.byName[r.PolicyName]; p != nil {
			return choice{policy: p}
		}
		return choice{reason: ReasonNoPolicy}
	}
	c := s.selection.choose(r)
	if c == (choice{}) && s.fallback != nil {
		return choice{policy: s.fallback}
	}
	if c == (choice{}) {
		return choice{reason: ReasonNoPolicy}
	}
	return c
}

// A selection finds the most specific of the policies whose hosts and paths
// select a request, in a time that hardly depends on how many there are. It does
// not go over them, but looks up what the request has in maps of what rules ask
// for, the most specific first. It does not depend on the order in which policies
// were added. It is immutable once it is part of a [Snapshot].
type selection struct {
	// exact has the rules for a name, below those for all names that end in a
	// suffix, which begins with a dot.
	exact, below map[string]*hostRules
	// everywhere are the paths of policies without hosts.
	everywhere *pathRules
	// longest is the length of the longest suffix.
	longest int
	// byHost and byPath say that a policy has hosts, or paths; ignoresCase that
	// one has paths in any case.
	byHost, byPath, ignoresCase bool
}

// hostRules are the paths of the policies that govern a host, by what their
// rules say of its port.
type hostRules struct {
	portless, anyPort *pathRules
	ports             map[string]*pathRules
}

func newSelection() *selection {
	return &selection{exact: map[string]*hostRules{}, below: map[string]*hostRules{}}
}

func (s *selection) add(p *policy) {
	s.byHost, s.byPath = s.byHost || len(p.Hosts) > 0, s.byPath || len(p.Paths) > 0
	s.ignoresCase = s.ignoresCase || p.IgnoreCase
	if len(p.Hosts) == 0 {
		s.everywhere = s.everywhere.with(p, "")
	}
	for _, host := range p.Hosts {
		h := parseHostRule(host)
		rules := s.exact
		if h.wild {
			rules, s.longest = s.below, max(s.longest, len(h.name))
		}
		if rules[h.name] == nil {
			rules[h.name] = &hostRules{ports: map[string]*pathRules{}}
		}
		rules[h.name].add(h.port, p, host)
	}
}

func (h *hostRules) add(port string, p *policy, host string) {
	switch port {
	case "":
		h.portless = h.portless.with(p, host)
	case anyPort:
		h.anyPort = h.anyPort.with(p, host)
	default:
		h.ports[port] = h.ports[port].with(p, host)
	}
}

// anyPort in a policy's host stands for every port, and for none.
const anyPort = "*"

// A query is what a selection looks at. A path that is not plain may stand for any
// path. The path is only read if a policy has paths.
// portCounts says that a rule without a port is not for a request with one.
type query struct {
	host, port, path, folded string
	plain, portCounts        bool
}

// read reads a request into q. It is not ok if the gateway's routes may read the
// host in another way than the rules do.
func (s *selection) read(r *Request, q *query) (ok bool) {
	q.portCounts = true
	if s.byHost {
		if q.host, q.port, ok = canonicalHost(r.Host); !ok {
			return false
		}
	}
	if s.byPath {
		q.path, q.plain = canonicalPath(r.Path)
	}
	if s.ignoresCase {
		q.folded = foldedPath(q.path)
	}
	return true
}

func (s *selection) choose(r *Request) choice {
	if !s.byHost && !s.byPath {
		return choice{}
	}
	var q query
	if !s.read(r, &q) {
		return choice{reason: ReasonAmbiguousHost}
	}
	c := s.mostSpecific(&q)
	if q.port == "" {
		return c
	}
	// We cannot know whether the gateway's routes count the port. With a wrong
	// guess, a client could choose its policy.
	q.portCounts = false
	if s.mostSpecific(&q) != c {
		return choice{reason: ReasonAmbiguousHost}
	}
	return c
}

func (s *selection) mostSpecific(q *query) choice {
	for h := range s.rulesFor(q.host) {
		for _, paths := range h.inOrder(q) {
			if paths == nil {
				continue
			}
			if c := paths.choose(q); c.policy != nil || c.reason != ReasonUnset {
				return c
			}
		}
	}
	if s.everywhere == nil {
		return choice{}
	}
	return s.everywhere.choose(q)
}

// choose returns the zero choice if none of these paths matches the query.
func (p *pathRules) choose(q *query) choice {
	r, odd := p.mostSpecific(q)
	switch {
	case odd:
		// The upstream may read this path as one that a rule governs.
		return choice{reason: ReasonAmbiguousPath}
	case r == nil:
		return choice{}
	case r.tied():
		return choice{reason: ReasonAmbiguousPolicy, tied: r}
	}
	return choice{policy: r.policies[0]}
}

// inOrder returns the paths of policies that govern the port of a query, those of
// the most specific one first. Some may be nil.
func (h *hostRules) inOrder(q *query) (paths [3]*pathRules) {
	if q.port != "" {
		paths[0] = h.ports[q.port]
	}
	if q.port == "" || !q.portCounts {
		paths[1] = h.portless
	}
	paths[2] = h.anyPort
	return paths
}

// rulesFor goes over the rules for a host: those for its name, then those for the
// longest suffix. It looks no further than the longest rule reaches, whatever a
// client sends.
func (s *selection) rulesFor(host string) iter.Seq[*hostRules] {
	return func(yield func(*hostRules) bool) {
		if h := s.exact[host]; h != nil && !yield(h) {
			return
		}
		for i := max(1, len(host)-s.longest); i < len(host); i++ {
			if host[i] != '.' {
				continue
			}
			if h := s.below[host[i:]]; h != nil && !yield(h) {
				return
			}
		}
	}
}
