package authz

import (
	"iter"
	"math"
	"strings"
)

// choose returns the policy that governs r, or the reason to deny. The route's
// own word counts first; host and path are for gateways that cannot give one
// (Istio). Nothing else of the request has a say: no forwarded URI, no user
// agent.
func (s *Snapshot) choose(r *Request) (*policy, Reason) {
	if !r.HTTP {
		return nil, ReasonNotHTTP
	}
	if r.PolicyName != "" {
		if p := s.byName[r.PolicyName]; p != nil {
			return p, ReasonUnset
		}
		return nil, ReasonNoPolicy
	}
	p, reason := s.selection.choose(r)
	if p == nil && reason == ReasonUnset {
		p = s.fallback
	}
	if p == nil && reason == ReasonUnset {
		reason = ReasonNoPolicy
	}
	return p, reason
}

// A selection finds the first of the policies whose hosts and paths select a
// request, in a time that hardly depends on how many there are. It does not go
// over them, but looks up what the request has in maps of what rules ask for,
// and takes the one that comes first. It is immutable once it is part of a
// [Snapshot].
type selection struct {
	policies []*policy
	// exact has the rules for a name, below those for all names that end in a
	// suffix, which begins with a dot.
	exact, below map[string]*hostRules
	// everywhere are the paths of policies without hosts.
	everywhere *pathRules
	// longest is the length of the longest suffix.
	longest int
	// byHost and byPath say that a policy has hosts, or paths.
	byHost, byPath bool
}

// hostRules are the paths of the policies that govern a host, by what their
// rules say of its port.
type hostRules struct {
	portless, anyPort *pathRules
	ports             map[string]*pathRules
	// unclear has the policies of portless, in order, see [Policy.Hosts].
	unclear []int
}

func newSelection() *selection {
	return &selection{exact: map[string]*hostRules{}, below: map[string]*hostRules{}}
}

// add puts a policy behind those that were added before.
func (s *selection) add(p *policy) {
	order := len(s.policies)
	s.policies = append(s.policies, p)
	s.byHost, s.byPath = s.byHost || len(p.Hosts) > 0, s.byPath || len(p.Paths) > 0
	if len(p.Hosts) == 0 {
		s.everywhere = s.everywhere.with(order, p.Paths)
	}
	for _, h := range p.Hosts {
		name, port, _ := strings.Cut(h, ":")
		rules := s.exact
		if suffix, wild := strings.CutPrefix(name, "*"); wild {
			rules, name, s.longest = s.below, suffix, max(s.longest, len(suffix))
		}
		if rules[name] == nil {
			rules[name] = &hostRules{ports: map[string]*pathRules{}}
		}
		rules[name].add(port, order, p.Paths)
	}
}

func (h *hostRules) add(port string, order int, paths []string) {
	switch port {
	case "":
		h.portless = h.portless.with(order, paths)
		h.unclear = append(h.unclear, order)
	case anyPort:
		h.anyPort = h.anyPort.with(order, paths)
	default:
		h.ports[port] = h.ports[port].with(order, paths)
	}
}

// first returns the first policy that governs the host and the path.
func (h *hostRules) first(q *query) int {
	first := h.anyPort.first(q)
	if q.port == "" {
		return min(first, h.portless.first(q))
	}
	return min(first, h.ports[q.port].first(q))
}

func (s *selection) choose(r *Request) (*policy, Reason) {
	if s == nil || len(s.policies) == 0 {
		return nil, ReasonUnset
	}
	q := query{plain: true}
	if s.byHost {
		var known bool
		if q.host, q.port, known = canonicalHost(r.Host); !known {
			// The gateway's routes may read this host as one that a rule
			// governs, or as none of them.
			return nil, ReasonAmbiguousHost
		}
	}
	if s.byPath {
		q.path, q.plain = canonicalPath(r.Path)
	}
	first := s.governing(&q)
	if q.port != "" && s.unclearBefore(first, &q) {
		return nil, ReasonAmbiguousHost
	}
	if first == nobody {
		return nil, ReasonUnset
	}
	p := s.policies[first]
	if len(p.Paths) > 0 && !q.plain {
		// The upstream may read this path as one that the rule governs.
		return nil, ReasonAmbiguousPath
	}
	return p, ReasonUnset
}

// A query is what a selection goes by. A path that is not plain may be any.
type query struct {
	host, port, path string
	plain            bool
}

// nobody is behind all policies.
const nobody = math.MaxInt

// governing returns which policy is the first that governs, by its host and, if
// that is plain, its path.
func (s *selection) governing(q *query) int {
	first := s.everywhere.first(q)
	for h := range s.rulesFor(q.host) {
		first = min(first, h.first(q))
	}
	return first
}

// unclearBefore says whether one of the policies before this one is unclear: the
// host is one of its own, and the request has a port where the rule has none.
// Whether the gateway's routes count the port is not for us to guess: taken the
// wrong way, a client chooses its policy.
func (s *selection) unclearBefore(first int, q *query) bool {
	for h := range s.rulesFor(q.host) {
		for _, order := range h.unclear {
			if order >= first {
				break
			}
			if !s.policies[order].governsPort(q) {
				return true
			}
		}
	}
	return false
}

// rulesFor goes over the rules for a host. It looks no further than the longest
// rule reaches, whatever a client sends.
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

// anyPort in a policy's host stands for every port, and for none.
const anyPort = "*"

// governsPort says whether one of the policy's hosts has the name and the port
// of a request.
func (p *policy) governsPort(q *query) bool {
	for _, h := range p.Hosts {
		name, port, _ := strings.Cut(h, ":")
		if port != q.port && port != anyPort {
			continue
		}
		suffix, wild := strings.CutPrefix(name, "*")
		if name == q.host || wild && len(q.host) > len(suffix) && strings.HasSuffix(q.host, suffix) {
			return true
		}
	}
	return false
}
