package credential

import (
	"fmt"
	"math"
)

const (
	// minHashedBits is the least that a secret must have that is stored as a fast hash: one
	// chosen at random among so many cannot be found by trying.
	minHashedBits = 128
	// minDifferent keeps out what is long and says nothing, such as one letter many times.
	minDifferent = 8
)

// CheckHashable says why a secret must not be stored as a hash, "" if it may: whoever reads
// the hash of a short one finds it by trying. It does not repeat the secret.
//
// It bounds what the secret can be by its length and its kinds of characters. Whether it was
// chosen at random does not show.
func CheckHashable(secret string) string {
	if secretBits(secret) >= minHashedBits && differentCharacters(secret) >= minDifferent {
		return ""
	}
	return fmt.Sprintf("is too easy to guess for a vault object whose secrets are hashed; leave it out to get a random one, or give one of %d random bits at the least: 24 letters and digits, or 32 hexadecimal digits", minHashedBits)
}

// secretBits is the binary logarithm of how many secrets there are of the same length with
// the same kinds of characters.
func secretBits(secret string) float64 {
	var digits, lower, upper, others int
	for i := range len(secret) {
		switch c := secret[i]; {
		case c >= '0' && c <= '9':
			digits = 10
		case c >= 'a' && c <= 'f':
			lower = max(lower, 6)
		case c >= 'g' && c <= 'z':
			lower = 26
		case c >= 'A' && c <= 'F':
			upper = max(upper, 6)
		case c >= 'G' && c <= 'Z':
			upper = 26
		default:
			others = 32
		}
	}
	return float64(len(secret)) * math.Log2(float64(max(1, digits+lower+upper+others)))
}

func differentCharacters(secret string) int {
	var seen [256]bool
	n := 0
	for i := range len(secret) {
		if !seen[secret[i]] {
			seen[secret[i]] = true
			n++
		}
	}
	return n
}
