package credential

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	tokenLength  = authz.RandomLength
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewToken returns 32 random letters and digits, 190 bits, as Kong's are.
func NewToken() string {
	// The largest multiple of 62 in a byte; above it, letters would not be
	// equally likely.
	const fair = 256 / len(alphanumeric) * len(alphanumeric)
	token := make([]byte, 0, tokenLength)
	for len(token) < tokenLength {
		var random [2 * tokenLength]byte
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			if int(b) < fair && len(token) < tokenLength {
				token = append(token, alphanumeric[int(b)%len(alphanumeric)])
			}
		}
	}
	return string(token)
}

// CheckAccessToken says what is wrong with an access token that is to be stored:
// under the same rule it is looked up. An empty one is made by us.
func CheckAccessToken(g authz.Grammar, s string) string {
	switch {
	case s == "" || g.AccessToken(s):
		return ""
	case len(s) > g.MaxLength:
		return fmt.Sprintf("length must be at most %d", g.MaxLength)
	case s == "." || strings.Contains(s, ".."):
		return "must not be . or contain .."
	}
	return "only letters, digits and ._~-" + g.ExtraCharacters + " are allowed, as no request can present others"
}

// CheckSecretToken does not repeat the secret.
func CheckSecretToken(g authz.Grammar, s string) string {
	switch {
	case s == "" || g.SecretToken(s):
		return ""
	case len(s) > g.MaxLength:
		return fmt.Sprintf("length must be at most %d", g.MaxLength)
	}
	return "only visible ASCII without ',' and '!' is allowed, as no request can present others"
}
