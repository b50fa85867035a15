package authz

import (
	"cmp"
	"slices"
	"strings"
)

// A rule is the policies with the same host and the same path among theirs, those
// with the highest priority first, and else by name.
type rule struct {
	host, path string
	policies   []*policy
}

// tied says whether nothing decides between the first policies.
func (r *rule) tied() bool {
	return len(r.policies) > 1 && r.policies[0].Priority == r.policies[1].Priority
}

// with adds a policy. r may be nil.
func (r *rule) with(p *policy, host, path string) *rule {
	if r == nil {
		r = &rule{host: host, path: path}
	}
	if !slices.Contains(r.policies, p) {
		r.policies = append(r.policies, p)
		slices.SortFunc(r.policies, func(a, b *policy) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
		})
	}
	return r
}

// pathRules are the paths that policies with one host select by.
type pathRules struct {
	// any is for every path.
	any *rule
	// exact are the paths that are compared as they are, folded those that are
	// compared in any case.
	exact, folded prefixes
}

// with adds a policy with one of its hosts. p may be nil.
func (p *pathRules) with(added *policy, host string) *pathRules {
	if p == nil {
		p = &pathRules{}
	}
	if len(added.Paths) == 0 {
		p.any = p.any.with(added, host, "")
	}
	for _, path := range added.Paths {
		if added.IgnoreCase {
			p.folded.add(added, host, foldedPath(path))
		} else {
			p.exact.add(added, host, path)
		}
	}
	return p
}

// mostSpecific returns the rule with the longest path, nil if there is none. odd
// says that one cannot know whether a policy governs the path.
func (p *pathRules) mostSpecific(q *query) (r *rule, odd bool) {
	if !q.plain {
		return p.any, len(p.exact.rules)+len(p.folded.rules) > 0
	}
	r, depth := p.exact.deepest(q.path)
	if f, deeper := p.folded.deepest(q.folded); deeper > depth {
		r = f
	}
	if r == nil {
		r = p.any
	}
	return r, false
}

// prefixes are rules by their paths.
type prefixes struct {
	rules map[string]*rule
	// longest is the length of the longest.
	longest int
	// lengths has a bit for each length below 64: most prefixes of a request's
	// path are of none, and need not be looked up.
	lengths uint64
}

func (p *prefixes) add(added *policy, host, path string) {
	if p.rules == nil {
		p.rules = map[string]*rule{}
	}
	p.rules[path] = p.rules[path].with(added, host, path)
	p.longest = max(p.longest, len(path))
	p.lengths |= 1 << len(path)
}

// deepest returns the rule with the longest prefix of a path that ends at a
// segment, /orders or /orders/ for /orders/7. Its depth tells which of two
// prefixes of one path is longer, whatever their case does to their lengths.
func (p *prefixes) deepest(path string) (r *rule, depth int) {
	// A path begins with a slash and has no two in a row.
	at := 1
	for end := 0; end < p.longest; at += 2 {
		if found := p.find(path[:end+1]); found != nil {
			r, depth = found, at
		}
		next := strings.IndexByte(path[end+1:], '/')
		if next < 0 {
			if found := p.find(path); found != nil {
				r, depth = found, at+1
			}
			break
		}
		end += 1 + next
		if found := p.find(path[:end]); found != nil {
			r, depth = found, at+1
		}
	}
	return r, depth
}

// find looks up a path, which may be longer than any that there is.
func (p *prefixes) find(path string) *rule {
	if len(path) > p.longest || len(path) < 64 && p.lengths&(1<<len(path)) == 0 {
		return nil
	}
	return p.rules[path]
}
