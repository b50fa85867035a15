package authz

import "strings"

// pathRules are the paths that policies select by, each with the first policy
// that has it. The nil pathRules select nothing.
type pathRules struct {
	// any is the first policy without paths, some the first with any.
	any, some int
	prefixes  map[string]int
	// longest is the length of the longest prefix.
	longest int
}

// with adds a policy that comes after all others. p may be nil.
func (p *pathRules) with(order int, paths []string) *pathRules {
	if p == nil {
		p = &pathRules{any: nobody, some: nobody, prefixes: map[string]int{}}
	}
	if len(paths) == 0 {
		p.any = min(p.any, order)
		return p
	}
	p.some = min(p.some, order)
	for _, prefix := range paths {
		if _, taken := p.prefixes[prefix]; !taken {
			p.prefixes[prefix] = order
			p.longest = max(p.longest, len(prefix))
		}
	}
	return p
}

// first returns the first policy that selects the path: a prefix of it that ends
// at a segment, /orders or /orders/ for /orders/7.
func (p *pathRules) first(q *query) int {
	if p == nil {
		return nobody
	}
	if !q.plain {
		return min(p.any, p.some)
	}
	first := p.any
	if p.some > first {
		return first
	}
	// A path begins with a slash and has no two in a row.
	for end := 0; end <= p.longest; {
		first = min(first, p.order(q.path[:end+1]))
		next := strings.IndexByte(q.path[end+1:], '/')
		if next < 0 {
			break
		}
		end += 1 + next
		first = min(first, p.order(q.path[:end]))
	}
	return min(first, p.order(q.path))
}

func (p *pathRules) order(prefix string) int {
	if len(prefix) > p.longest {
		return nobody
	}
	if order, ok := p.prefixes[prefix]; ok {
		return order
	}
	return nobody
}
