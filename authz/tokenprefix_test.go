package authz

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const random = "0Kq3zYb8XvN1mPdR5tWcJ7hLs9GfA2eU"

func TestATokenWithAPrefixSaysWhatItIs(t *testing.T) {
	t.Parallel()
	access, secret := TokenPrefix("va_live").AccessToken(random), TokenPrefix("va_live").SecretToken(random)
	if !strings.HasPrefix(access, "va_live_access_"+random) || !strings.HasPrefix(secret, "va_live_secret_"+random) {
		t.Errorf("got %q and %q", access, secret)
	}
	if access[len(access)-checksumLength:] == secret[len(secret)-checksumLength:] {
		t.Error("the checksum does not depend on which of the two it is")
	}
	if got := TokenPrefix("").AccessToken(random) + TokenPrefix("").SecretToken(random); got != random+random {
		t.Errorf("without a prefix: got %q", got)
	}
	// The check value of CRC-32, cbf43926, which other programs compute too.
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("checksum: got %q", got)
	}
	for _, token := range []string{access, secret} {
		if g := DefaultGrammar(); !g.AccessToken(token) || !g.SecretToken(token) {
			t.Errorf("the grammar refuses %q", token)
		}
	}
}

func TestAMistypedTokenIsKnownByItsChecksum(t *testing.T) {
	t.Parallel()
	p := TokenPrefix("va_live")
	good := p.AccessToken(random)
	if p.Mistyped(good) {
		t.Fatalf("%q counts as mistyped", good)
	}
	start := len("va_live_access_")
	for i := start; i < len(good); i++ {
		for _, c := range "0aZ_-.~" {
			if slip := good[:i] + string(c) + good[i+1:]; slip != good && !p.Mistyped(slip) {
				t.Errorf("%q does not count as mistyped", slip)
			}
		}
		if i+1 < len(good) && good[i] != good[i+1] {
			if swapped := good[:i] + good[i+1:i+2] + good[i:i+1] + good[i+2:]; !p.Mistyped(swapped) {
				t.Errorf("%q does not count as mistyped", swapped)
			}
		}
		if !p.Mistyped(good[:i]) || !p.Mistyped(good[:i]+good[i+1:]) || !p.Mistyped(good+good[i:i+1]) {
			t.Errorf("a token that is cut or longer at %d does not count as mistyped", i)
		}
	}
	for _, token := range []string{p.SecretToken(random), "va_live_secret_x", "va_live_access_", "va_live_access_x"} {
		if !p.Mistyped(token) {
			t.Errorf("%q does not count as mistyped", token)
		}
	}
	for _, token := range []string{
		"", "foo", random, "va_live", "va_live_", "va_live_x", "va_livex_access_x", "va_live_acces_x", "xva_live_access_x",
		TokenPrefix("va_test").AccessToken(random), strings.ToUpper(good),
	} {
		if p.Mistyped(token) {
			t.Errorf("%q counts as mistyped and has not the prefix", token)
		}
		if TokenPrefix("").Mistyped(token) {
			t.Errorf("%q counts as mistyped without a prefix", token)
		}
	}
}

func TestTokenPrefixes(t *testing.T) {
	t.Parallel()
	for _, good := range []TokenPrefix{"", "va", "va_live", "Shop2_eu_1", TokenPrefix(strings.Repeat("x", 32)), "accessible"} {
		if err := good.Validate(256); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []TokenPrefix{"v", "_va", "va_", "va__live", "2va", "va-live", "va.live", "va live", "vä", "va_access", "secret", "va_secret_x", TokenPrefix(strings.Repeat("x", 33))} {
		if bad.Validate(256) == nil {
			t.Errorf("%q is valid", bad)
		}
	}
	if err := TokenPrefix("va_live").Validate(52); err == nil || !strings.Contains(err.Error(), "53 characters") {
		t.Errorf("with too short a max_length: got %v", err)
	}
	if err := TokenPrefix("va_live").Validate(53); err != nil {
		t.Errorf("with a max_length that is just enough: got %v", err)
	}
}

// The expression that the documentation has for scanners finds the tokens in what people
// paste, and nothing else.
func TestScannersFindTokensByTheExpressionInTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/how-to/recognisable-tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^regex = '''(.*)'''$`).FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no expression")
	}
	expression, err := regexp.Compile(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	p := TokenPrefix("va_live")
	for _, token := range []string{p.AccessToken(random), p.SecretToken(random)} {
		for _, text := range []string{token, `curl -H "secret_token: ` + token + `"`, "x=" + token + "&y=1", "'" + token + "'\n", "https://x/?a=" + token} {
			if got := expression.FindString(text); got != token {
				t.Errorf("in %q it finds %q", text, got)
			}
		}
		for _, text := range []string{random, token[1:], token[:len(token)-1], token + "x", "x" + token, TokenPrefix("va_test").AccessToken(random)} {
			if expression.MatchString(text) {
				t.Errorf("it finds a token in %q", text)
			}
		}
	}
}

// FuzzMistyped: a token that was made with a prefix is never mistyped; one that begins like
// it counts as mistyped exactly if it could not have been made; any other never does.
func FuzzMistyped(f *testing.F) {
	p := TokenPrefix("va_live")
	good := p.AccessToken(random)
	for _, seed := range []string{"", good, p.SecretToken(random), good[:20], good + "0", "va_live_access_", random} {
		f.Add("va_live", seed)
	}
	f.Fuzz(func(t *testing.T, prefix, token string) {
		p := TokenPrefix(prefix)
		if p.Validate(maxTokenLength) != nil || p == "" {
			return
		}
		body := strings.Map(func(r rune) rune {
			if strings.ContainsRune(base62, r) {
				return r
			}
			return '0'
		}, token) + strings.Repeat("0", RandomLength)
		if made := p.AccessToken(body[:RandomLength]); p.Mistyped(made) {
			t.Fatalf("%q was made with %q and counts as mistyped", made, p)
		}
		rest, isAccess := strings.CutPrefix(token, prefix+accessMark)
		isSecret := strings.HasPrefix(token, prefix+secretMark)
		couldBe := isAccess && len(rest) >= RandomLength && strings.Trim(rest, base62) == "" && p.AccessToken(rest[:RandomLength]) == token
		if got, want := p.Mistyped(token), isSecret || isAccess && !couldBe; got != want {
			t.Fatalf("%q with the prefix %q: mistyped = %t, want %t", token, prefix, got, want)
		}
	})
}
