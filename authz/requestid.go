package authz

// RequestID returns the id that a client is told of a request whose x-request-id is id: 32
// hexadecimal digits, as in Kong's errors. ok is false if id is no UUID, with or without its
// dashes and in any case: then the client is told another one.
func RequestID(id string) (digits [32]byte, ok bool) {
	n := 0
	for _, c := range []byte(id) {
		switch {
		case c == '-':
			continue
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		case c < '0' || c > '9' && (c < 'a' || c > 'f'):
			return [32]byte{}, false
		}
		if n == len(digits) {
			return [32]byte{}, false
		}
		digits[n] = c
		n++
	}
	if n < len(digits) {
		return [32]byte{}, false
	}
	return digits, true
}
