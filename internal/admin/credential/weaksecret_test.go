package credential

import (
	"strings"
	"testing"
)

func TestASecretThatIsEasyToGuessMayNotBeStoredAsAHash(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"foo", "supersecretvalue", "correcthorsebattery", strings.Repeat("a", 100), strings.Repeat("abcdefg", 20), "0123456789012345678901234567",
		"0123456789abcdef0123456789abcde", // 124 bits
	} {
		if CheckHashable(secret) == "" {
			t.Errorf("%q may be hashed", secret)
		}
	}
	for _, secret := range []string{
		"k7VbQ2xWm9RtYpLs4NcHdJgF", "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF", NewToken(), "q1bJ9+dkT3vXn0wz7L/4Gg==",
		"9f1c2f4e-7a51-4d0e-8c55-3f6e0a1b2c3d", "314159265358979323846264338327950288419",
	} {
		if problem := CheckHashable(secret); problem != "" {
			t.Errorf("%q %s", secret, problem)
		}
	}
}
