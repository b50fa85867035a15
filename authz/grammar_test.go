package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestGrammarAcceptsOnlyTokensThatAreOnePathSegment(t *testing.T) {
	t.Parallel()
	g := DefaultGrammar()
	for _, token := range []string{"a", "v3cOV1jWglS0PFOrTcdr85bs1GP0e2yM", "a.b", "a_b-c~d", ".a", strings.Repeat("a", 256)} {
		if !g.AccessToken(token) {
			t.Errorf("access token %q is refused", token)
		}
	}
	for _, token := range []string{
		"", ".", "..", "a..b", "a/b", "/", "a%2fb", "a b", "a\tb", "a\n", "a\x00", "é", "a,b", "a!b", "a+b", "a=b", `a\b`, "a?b", "a#b", "*",
		strings.Repeat("a", 257),
	} {
		if g.AccessToken(token) {
			t.Errorf("access token %q is let through", token)
		}
	}
	for _, token := range []string{"", "a b", "a,b", "a!b", "a\x7f", "é", strings.Repeat("a", 257)} {
		if g.SecretToken(token) {
			t.Errorf("secret token %q is let through", token)
		}
	}
	if !g.SecretToken(`p/%+="<>@#$^&*()`) {
		t.Error("a secret token of visible ASCII is refused")
	}
	wide := Grammar{MaxLength: 10, ExtraCharacters: "+="}
	if !wide.AccessToken("a+b=") || wide.AccessToken("a/b") || wide.AccessToken("12345678901") {
		t.Error("extra characters or length do not hold")
	}
	for _, bad := range []Grammar{{}, {MaxLength: 5000}, {MaxLength: 1, ExtraCharacters: "/"}, {MaxLength: 1, ExtraCharacters: ","}, {MaxLength: 1, ExtraCharacters: "%"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

func TestSecretsAreKeyedDigests(t *testing.T) {
	t.Parallel()
	d := NewDigester()
	same := d.Digest("v", "a", "s")
	if !same.Equal(d.Digest("v", "a", "s")) {
		t.Error("the same secret is not equal")
	}
	for name, other := range map[string]Secret{
		"other secret":       d.Digest("v", "a", "t"),
		"other access token": d.Digest("v", "b", "s"),
		"other vault object": d.Digest("w", "a", "s"),
		"moved boundary":     d.Digest("va", "", "s"),
		"other process":      NewDigester().Digest("v", "a", "s"),
		"empty secret":       d.Digest("v", "a", ""),
		"dummy":              d.dummy,
	} {
		if same.Equal(other) {
			t.Errorf("%s: equal", name)
		}
	}
}

// A store that keeps only the SHA-256 of a secret token authenticates the same requests as
// one that keeps the token itself.
func TestADigestIsTheSameOfASecretAndOfItsHash(t *testing.T) {
	t.Parallel()
	d := NewDigester()
	for _, secret := range []string{"s", "supersecretvalue", strings.Repeat("x", maxTokenLength)} {
		hash := sha256.Sum256([]byte(secret))
		if !d.Digest("v", "a", secret).Equal(d.DigestHash("v", "a", hash)) {
			t.Errorf("a secret of %d bytes and its hash have different digests", len(secret))
		}
		for name, presented := range map[string]string{
			"the hash in hex": hex.EncodeToString(hash[:]),
			"the raw hash":    string(hash[:]),
			"another secret":  secret + "x",
			"nothing":         "",
		} {
			if d.Digest("v", "a", presented).Equal(d.DigestHash("v", "a", hash)) {
				t.Errorf("%s passes for the secret", name)
			}
		}
	}
	// A hash of nothing known is no secret, whatever its bytes.
	if (Secret{}).Equal(d.DigestHash("v", "a", [sha256.Size]byte{})) || d.Digest("v", "a", "s").Equal(d.DigestHash("v", "a", [sha256.Size]byte{})) {
		t.Error("the hash of zeros passes for a secret")
	}
}

func TestDigestDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop things at random")
	}
	d := NewDigester()
	long := strings.Repeat("x", 256)
	if n := testing.AllocsPerRun(100, func() { d.Digest("kong-auth", "foo", "supersecretvalue"); d.Digest("kong-auth", "foo", long) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
