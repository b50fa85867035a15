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

// A parameter is one name=value pair of a query or form.
type parameter struct {
	// raw is the name as it stands in the input, name and value are decoded.
	raw, name, value string
	// assigned is false for a name without "=".
	assigned bool
	// broken says that the value could not be decoded.
	broken bool
}

// nextParameter splits the first pair off a query. Pairs are separated by "&"
// only, as in the WHATWG URL standard: ";" belongs to a value. A name that
// cannot be decoded stays as it is, and so is no token's name.
func nextParameter(query string) (p parameter, rest string) {
	pair, rest, _ := strings.Cut(query, "&")
	raw, value, assigned := strings.Cut(pair, "=")
	p = parameter{raw: raw, name: raw, value: value, assigned: assigned}
	if name, ok := unescape(raw, true); ok {
		p.name = name
	}
	decoded, ok := unescape(value, true)
	if !ok {
		p.value, p.broken = "", true
		return p, rest
	}
	p.value = decoded
	return p, rest
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
