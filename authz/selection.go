package authz

import "strings"

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
	host := canonicalHost(r.Host)
	path, plain := canonicalPath(r.Path)
	for _, p := range s.selecting {
		if !p.matchesHost(host) {
			continue
		}
		if len(p.Paths) > 0 && !plain {
			// The upstream may read this path as one that the rule governs.
			return nil, ReasonAmbiguousPath
		}
		if p.matchesPath(path) {
			return p, ReasonUnset
		}
	}
	if s.fallback == nil {
		return nil, ReasonNoPolicy
	}
	return s.fallback, ReasonUnset
}

func (p *policy) matchesHost(host string) bool {
	if len(p.Hosts) == 0 {
		return true
	}
	for _, h := range p.Hosts {
		if suffix, wild := strings.CutPrefix(h, "*"); wild {
			if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
				return true
			}
		} else if h == host {
			return true
		}
	}
	return false
}

func (p *policy) matchesPath(path string) bool {
	if len(p.Paths) == 0 {
		return true
	}
	for _, prefix := range p.Paths {
		rest, ok := strings.CutPrefix(path, prefix)
		if ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/")) {
			return true
		}
	}
	return false
}

// canonicalHost returns host in lower case, without port and trailing dot.
func canonicalHost(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end >= 0 {
			host = host[1:end]
		}
	} else if name, _, ok := strings.Cut(host, ":"); ok && strings.Count(host, ":") == 1 {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// canonicalPath returns the path of a request target, percent-decoded, without
// its query. It is not ok for every path that two programs may read
// differently: encoded slashes, backslashes, dot segments, empty segments,
// parameters (;), control characters, double or broken percent-encoding, and
// targets that are no path.
func canonicalPath(target string) (path string, ok bool) {
	path, _ = splitTarget(target)
	if path == "" || path[0] != '/' {
		return "", false
	}
	if strings.IndexByte(path, '%') >= 0 {
		var good bool
		// Slashes are compared by number: an encoded one would add to them.
		slashes := strings.Count(path, "/")
		if path, good = unescape(path, false); !good || strings.Count(path, "/") != slashes || doublyEscaped(path) {
			return "", false
		}
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ', c == 0x7f, c == '\\', c == ';':
			return "", false
		case c == '/' && oddSegment(path[i+1:]):
			return "", false
		}
	}
	return path, true
}

// oddSegment says whether the segment that rest begins with is empty (but not
// the last) or consists of dots.
func oddSegment(rest string) bool {
	segment, _, more := strings.Cut(rest, "/")
	return segment == "" && more || segment == "." || segment == ".."
}

// doublyEscaped says whether a decoded path could be decoded once more.
func doublyEscaped(path string) bool {
	for i := range len(path) {
		if path[i] == '%' && i+2 < len(path) && hexDigit(path[i+1]) >= 0 && hexDigit(path[i+2]) >= 0 {
			return true
		}
	}
	return false
}
