package authz

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// canonicalHost splits the host of a request into its name or address, in lower
// case, and its port, if any. It is not ok for everything that two programs may
// read differently: a trailing dot, an empty port or several, brackets around
// something that is not an address, user information, and characters that names do
// not have.
func canonicalHost(host string) (name, port string, ok bool) {
	if rest, bracketed := strings.CutPrefix(host, "["); bracketed {
		address, after, closed := strings.Cut(rest, "]")
		ip, err := netip.ParseAddr(address)
		if !closed || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", false
		}
		name, port, ok = ip.String(), "", true
		if after != "" {
			port, ok = strings.CutPrefix(after, ":")
			ok = ok && isPort(port)
		}
		return name, port, ok
	}
	name, port, hasPort := strings.Cut(host, ":")
	if name == "" || strings.HasSuffix(name, ".") || hasPort && !isPort(port) {
		return "", "", false
	}
	lower := true
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		case c >= 'A' && c <= 'Z':
			lower = false
		default:
			return "", "", false
		}
	}
	if !lower {
		// Only now: some letters that no name has are "k" and "i" in lower case.
		name = strings.ToLower(name)
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
// segments with a blank at either end or a dot at the end, parameters (;), control
// characters, double or broken percent-encoding, and targets that are not a path.
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
			doublyEscaped(path) || strings.ContainsAny(path, "?#") {
			return "", false
		}
	}
	ascii := true
	for i := range len(path) {
		switch c := path[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c < ' ', c == 0x7f, c == '\\', c == ';':
			return "", false
		case c == '/' && nonCanonicalSegment(path[i+1:]):
			return "", false
		}
	}
	return path, ascii || utf8.ValidString(path)
}

// nonCanonicalSegment says whether the segment that rest begins with is empty (but not
// the last), begins with a blank, or ends with a blank or a dot, as dot segments
// do. Some upstreams cut these off, so they must not lead past a rule.
func nonCanonicalSegment(rest string) bool {
	segment, _, more := strings.Cut(rest, "/")
	if segment == "" {
		return more
	}
	first, last := segment[0], segment[len(segment)-1]
	if first < utf8.RuneSelf && last < utf8.RuneSelf {
		// The other blanks of ASCII are control characters, which no path has.
		return last == '.' || first == ' ' || last == ' '
	}
	begin, _ := utf8.DecodeRuneInString(segment)
	end, _ := utf8.DecodeLastRuneInString(segment)
	return end == '.' || unicode.IsSpace(begin) || unicode.IsSpace(end)
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

// foldedPath is what a path is compared by where case does not count: the same for
// paths that differ in nothing else, in any alphabet, and with the same slashes.
func foldedPath(path string) string {
	for i := range len(path) {
		if c := path[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return strings.ToLower(strings.ToUpper(path))
		}
	}
	return path
}
