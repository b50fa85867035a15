package authz

import (
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
)

// A TokenPrefix begins the tokens that are made for one vault object, so that people and
// scanners recognise them. The empty one is none. With the prefix "va_live" the tokens are
//
//	va_live_access_<32 random characters><checksum>
//	va_live_secret_<32 random characters><checksum>
//
// The checksum is the CRC-32 (IEEE) of all before it, in six digits of base 62. It finds
// every slip of the keyboard but one in four billion. It is no proof of anything: anybody
// can compute it.
type TokenPrefix string

const (
	accessMark = "_access_"
	secretMark = "_secret_"

	// RandomLength is the number of random letters and digits in a token: 190 bits.
	RandomLength   = 32
	checksumLength = 6
	maxPrefix      = 32
)

// base62 are the digits of checksums, in the order of their values.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var prefixForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$`)

// Validate says what is wrong with the prefix for tokens of at most maxLength bytes.
func (p TokenPrefix) Validate(maxLength int) error {
	longest := len(p) + len(secretMark) + RandomLength + checksumLength
	parts := strings.Split(string(p), "_")
	switch {
	case p == "":
		return nil
	case len(p) < 2 || len(p) > maxPrefix || !prefixForm.MatchString(string(p)):
		return fmt.Errorf("%q is not made of 2 to %d letters, digits and single underscores within, beginning with a letter", string(p), maxPrefix)
	case slices.Contains(parts, "access") || slices.Contains(parts, "secret"):
		return errors.New("must not have access or secret between underscores, which tell the two tokens apart")
	case longest > maxLength:
		return fmt.Errorf("makes tokens of %d characters, and tokens.max_length is %d", longest, maxLength)
	}
	return nil
}

// AccessToken returns the access token with these random characters.
func (p TokenPrefix) AccessToken(random string) string { return p.token(accessMark, random) }

// SecretToken returns the secret token with these random characters.
func (p TokenPrefix) SecretToken(random string) string { return p.token(secretMark, random) }

func (p TokenPrefix) token(mark, random string) string {
	if p == "" {
		return random
	}
	token := string(p) + mark + random
	return token + checksum(token)
}

// Mistyped says whether a presented access token begins like one that was made with the prefix,
// but cannot be one: its checksum is wrong, or it is a secret token. There can be no such
// credential. It is false for every token that does not begin like that.
func (p TokenPrefix) Mistyped(accessToken string) bool {
	rest, carries := strings.CutPrefix(accessToken, string(p))
	if p == "" || !carries {
		return false
	}
	if strings.HasPrefix(rest, secretMark) {
		return true
	}
	random, carries := strings.CutPrefix(rest, accessMark)
	if !carries {
		return false
	}
	signed := len(accessToken) - checksumLength
	return len(random) != RandomLength+checksumLength || strings.Trim(random, base62) != "" ||
		checksum(accessToken[:signed]) != accessToken[signed:]
}

func checksum(text string) string {
	var digits [checksumLength]byte
	sum := crc32.ChecksumIEEE([]byte(text))
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[sum%uint32(len(base62))]
		sum /= uint32(len(base62))
	}
	return string(digits[:])
}
