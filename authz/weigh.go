package authz

import (
	"errors"
	"fmt"
	"slices"
)

// maxWeighed is up to how many policies an explanation also lists those that do not select the
// request.
const maxWeighed = 500

// weigh tells why a policy governs a request, and why others do not. The one that governs comes
// first. s may be nil.
func (s *Snapshot) weigh(r *Request, d *Decision) []Weighed {
	weighed := []Weighed{}
	if s == nil || d.Reason == ReasonAmbiguousHost {
		return weighed
	}
	add := func(name string, matches, governs bool, why string) {
		weighed = append(weighed, Weighed{Name: name, Order: len(weighed) + 1, Matches: matches, Governs: governs, Why: why})
	}
	if r.NamesPolicy || r.PolicyName != "" {
		if d.Policy != nil {
			add(d.Policy.Name, false, true, "the route names it")
		}
		return weighed
	}
	var tie *Tie
	_ = errors.As(d.Err, &tie)
	matching := map[string]bool{}
	for _, m := range s.matches(r) {
		why, governs := m.why(), d.Policy != nil && d.Policy.Name == m.Policy
		switch {
		case governs:
		case d.Policy != nil:
			why += fmt.Sprintf(", and %s comes first", d.Policy.Name)
		case tie != nil && slices.Contains(tie.Policies, m.Policy):
			why += ", and so does another one with the same priority"
		}
		matching[m.Policy] = true
		add(m.Policy, true, governs, why)
	}
	if len(s.policies) > maxWeighed {
		return weighed
	}
	for _, p := range slices.SortedFunc(slices.Values(s.policies), func(a, b *policy) int { return a.Compare(&b.Policy) }) {
		if !matching[p.Name] {
			add(p.Name, false, false, p.mismatch(r))
		}
	}
	return weighed
}

// why says by what the policy matches.
func (m *Match) why() string {
	switch {
	case m.Default:
		return "it is the default"
	case m.Host == "":
		return fmt.Sprintf("path %s matches", m.Path)
	case m.Path == "":
		return fmt.Sprintf("host %s matches", m.Host)
	}
	return fmt.Sprintf("host %s and path %s match", m.Host, m.Path)
}

// mismatch says why a policy does not select a request.
func (p *Policy) mismatch(r *Request) string {
	switch {
	case len(p.Hosts)+len(p.Paths) == 0:
		return "it has neither hosts nor paths, so a route has to name it"
	case len(p.Hosts) > 0 && !(&Policy{Name: p.Name, Hosts: p.Hosts}).selects(r):
		return "none of its hosts matches"
	}
	return "none of its paths matches"
}

// selects says whether the policy selects a request if there is no other one.
func (p *Policy) selects(r *Request) bool {
	s := &Snapshot{selection: newSelection()}
	s.selection.add(&policy{Policy: *p})
	return len(s.Matching(r)) > 0
}
