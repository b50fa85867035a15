package authz

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
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
	host, port, known := canonicalHost(r.Host)
	if s.byHost && !known {
		// The gateway's routes may read this host as one that a rule governs,
		// or as none of them.
		return nil, ReasonAmbiguousHost
	}
	path, plain := canonicalPath(r.Path)
	for _, p := range s.selecting {
		switch p.matchHost(host, port) {
		case hostOther:
			continue
		case hostUnclear:
			return nil, ReasonAmbiguousHost
		case hostGoverned:
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

// A hostMatch is what a policy's hosts say to a host.
type hostMatch uint8

const (
	hostOther hostMatch = iota
	hostGoverned
	// hostUnclear: the name is one of the policy's, and the request has a port
	// where the rule has none. Whether the gateway's routes count the port is
	// not for us to guess: taken the wrong way, a client chooses its policy.
	hostUnclear
)

func (p *policy) matchHost(host, port string) hostMatch {
	if len(p.Hosts) == 0 {
		return hostGoverned
	}
	found := hostOther
	for _, h := range p.Hosts {
		name, wanted, _ := strings.Cut(h, ":")
		suffix, wild := strings.CutPrefix(name, "*")
		if name != host && (!wild || len(host) <= len(suffix) || !strings.HasSuffix(host, suffix)) {
			continue
		}
		if wanted == port || wanted == anyPort {
			return hostGoverned
		}
		if wanted == "" {
			found = hostUnclear
		}
	}
	return found
}

// anyPort in a policy's host stands for every port, and for none.
const anyPort = "*"

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

// canonicalHost splits the host of a request into its name or address, in lower
// case, and its port, if any. It is not ok for everything that two programs may
// read differently: a trailing dot, an empty port or several, brackets around
// what is no address, user information, and characters that no name has.
func canonicalHost(host string) (name, port string, ok bool) {
	if rest, bracketed := strings.CutPrefix(host, "["); bracketed {
		address, after, _ := strings.Cut(rest, "]")
		ip, err := netip.ParseAddr(address)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", false
		}
		name, port, ok = ip.String(), "", true
		if after != "" {
			port, ok = strings.CutPrefix(after, ":")
			ok = ok && isPort(port)
		}
		return name, port, ok
	}
	name, port, hasPort := strings.Cut(strings.ToLower(host), ":")
	if name == "" || strings.HasSuffix(name, ".") || hasPort && !isPort(port) {
		return "", "", false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return "", "", false
		}
	}
	return name, port, true
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
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
		if path, good = unescape(path, false); !good || strings.Count(path, "/") != slashes ||
			doublyEscaped(path) || strings.ContainsAny(path, "?#") || !utf8.ValidString(path) {
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
