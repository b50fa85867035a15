package authz

import "strings"

// splitTarget cuts a request target into path and query. It is not
// [net/url.Parse], which takes what follows "//" for a host and gives up on
// the whole target for one bad escape.
func splitTarget(target string) (path, query string) {
	path, query, _ = strings.Cut(target, "?")
	path, _, _ = strings.Cut(path, "#")
	query, _, _ = strings.Cut(query, "#")
	return path, query
}

// A parameter is one name=value pair of a query or form, as it stands there.
type parameter struct {
	name, value string
	// assigned is false for a name without "=".
	assigned bool
}

// nextParameter splits the first pair off a query. Pairs are separated by "&"
// only, as in the WHATWG URL standard: ";" belongs to a value.
func nextParameter(query string) (p parameter, rest string) {
	pair, rest, _ := strings.Cut(query, "&")
	p.name, p.value, p.assigned = strings.Cut(pair, "=")
	return p, rest
}

// tokenOf says which token a parameter is for. A name that cannot be decoded is
// not the name of a token.
func (n *tokenNames) tokenOf(p parameter) (token int, ok bool) {
	// Decoding makes a name shorter by two bytes for each %. Most names need no
	// decoding to be told apart.
	if !n.hasLength(len(p.name) - 2*strings.Count(p.name, "%")) {
		return 0, false
	}
	name, ok := unescape(p.name, true)
	if !ok {
		return 0, false
	}
	return n.lookupParameter(name)
}

// unescape decodes percent-encoding, and "+" as a space where plus says so. It
// does not copy what needs no decoding.
func unescape(s string, plus bool) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && (!plus || strings.IndexByte(s, '+') < 0) {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+' && plus:
			out = append(out, ' ')
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			out = append(out, byte(high<<4|low)) //nolint:gosec // two hexadecimal digits are one byte
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
