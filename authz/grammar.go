package authz

import (
	"errors"
	"fmt"
	"strings"
)

// Grammar says what an access token and a secret token may look like. A token
// that does not fit is refused before the store is asked: the access token
// becomes a path in it.
type Grammar struct {
	// MaxLength bounds both tokens, in bytes.
	MaxLength int
	// ExtraCharacters are allowed in access tokens besides letters, digits and
	// "._~-". Only characters of [extraAllowed] can be added.
	ExtraCharacters string
}

// DefaultGrammar returns the grammar that fits the tokens that Kong makes and
// most that people make by hand.
func DefaultGrammar() Grammar { return Grammar{MaxLength: 256} }

// maxTokenLength is the most that MaxLength can be.
const maxTokenLength = 4096

// extraAllowed are the characters that are safe in one segment of a path but
// not common in tokens.
const extraAllowed = "+=:@$*'()&"

// Validate reports every mistake.
func (g Grammar) Validate() error {
	var errs []error
	if g.MaxLength < 1 || g.MaxLength > maxTokenLength {
		errs = append(errs, fmt.Errorf("max_length: %d is not between 1 and %d", g.MaxLength, maxTokenLength))
	}
	for _, c := range g.ExtraCharacters {
		if !strings.ContainsRune(extraAllowed, c) {
			errs = append(errs, fmt.Errorf("extra_characters: %q can not be allowed, only characters of %q can", c, extraAllowed))
		}
	}
	return errors.Join(errs...)
}

// AccessToken says whether s may be an access token: one segment of a path in
// the store that means nothing but itself.
func (g Grammar) AccessToken(s string) bool {
	if s == "" || len(s) > g.MaxLength || s == "." || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '_' || c == '~' || c == '-'
		if !plain && strings.IndexByte(g.ExtraCharacters, c) < 0 {
			return false
		}
	}
	return true
}

// SecretToken says whether s may be a secret token: visible ASCII without ","
// and "!", because Envoy joins repeated headers with commas and puts "!" for
// bytes that are not UTF-8, so that neither is known to be the client's own.
func (g Grammar) SecretToken(s string) bool {
	if s == "" || len(s) > g.MaxLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ',' || c == '!' {
			return false
		}
	}
	return true
}
