package authz

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Scheme is how the Authorization header carries tokens. It is not Kong's.
type Scheme string

// The schemes.
const (
	// SchemeNone means that the header is ignored, or, if it is a name of a token, has
	// that token and nothing else.
	SchemeNone Scheme = ""
	// SchemeBearer is "Bearer TOKEN" (RFC 6750), for the token that has the header
	// among its names.
	SchemeBearer Scheme = "bearer"
	// SchemeBasic is "Basic" with the access token as the user and the secret token
	// as the password (RFC 7617). The header is a name of neither.
	SchemeBasic Scheme = "basic"
)

const authorizationHeader = "authorization"

// tokenOfScheme stands for a token in the names of headers. The scheme says which tokens
// the header carries.
const tokenOfScheme = tokenCount

// addAuthorization counts what the Authorization header carries. One of another
// scheme, or in another form, is given and has no value: what a client sends there
// may be meant for the upstream, and the two must not go by different credentials.
func (f *findings) addAuthorization(scheme Scheme, of int, header string) {
	credentials, ok := cutScheme(header, scheme)
	if scheme == SchemeBearer {
		f[of].addRead(credentials, header, ok)
		return
	}
	var pair [tokenCount]string
	if ok {
		pair[tokenAccess], pair[tokenSecret], ok = basicPair(credentials)
	}
	for t := range pair {
		f[t].addRead(pair[t], header, ok)
	}
}

// addRead counts a value that was read out of a header. If that failed, it counts the
// header itself, which shows whether several values were joined.
func (f *finding) addRead(value, header string, ok bool) {
	if !ok {
		value = header
	}
	f.add(value)
	f.broken = f.broken || !ok
}

// cutScheme returns what follows the scheme, which counts in any case, and at least
// one space.
func cutScheme(header string, scheme Scheme) (credentials string, ok bool) {
	n := len(scheme)
	if len(header) <= n || header[n] != ' ' || !strings.EqualFold(header[:n], string(scheme)) {
		return "", false
	}
	return strings.TrimLeft(header[n:], " "), true
}

// basicPair decodes user and password. There is one way to write each pair: no other
// alphabet, no missing or spare padding, no bits or line breaks that a decoder passes
// over. A password may have colons, a user none.
func basicPair(credentials string) (access, secret string, ok bool) {
	// Two tokens of the greatest length, and the colon.
	if len(credentials) > base64.StdEncoding.EncodedLen(2*maxTokenLength+1) || strings.ContainsAny(credentials, "\r\n") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(decoded), ":")
}

// validateScheme also looks at the names that go with the scheme.
func (p *Policy) validateScheme() error {
	named := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return canonicalName(n) == authorizationHeader })
	}
	isNamed := named(p.AccessTokenNames) || named(p.SecretTokenNames)
	switch p.AuthorizationScheme {
	case SchemeNone:
	case SchemeBearer:
		if !isNamed {
			return errors.New("authorization_scheme: bearer carries one token; add authorization to access_token_name or secret_token_name to say which")
		}
	case SchemeBasic:
		if isNamed {
			return errors.New("authorization_scheme: basic carries both tokens; remove authorization from access_token_name and secret_token_name")
		}
	default:
		return fmt.Errorf("authorization_scheme: %q is neither bearer nor basic", p.AuthorizationScheme)
	}
	return nil
}
