package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// neighbours are the characters just outside of letters and digits.
const neighbours = "/:@[`{"

func TestAPolicyIsValidUpToItsLimitsAndNotBeyond(t *testing.T) {
	t.Parallel()
	names := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("name%d", i))
		}
		return out
	}
	tests := []struct {
		name   string
		change func(*Policy)
		// mistake is part of the error, "" for none.
		mistake string
	}{
		{"the default with a name and a vault", func(*Policy) {}, ""},
		{"no name", func(p *Policy) { p.Name = "" }, "name: must be set"},
		{"no vault", func(p *Policy) { p.Vault = "" }, "vault: "},
		{"tokens in a body that cannot be hidden", func(p *Policy) { p.TokensInBody = true }, "tokens_in_body: "},
		{"tokens in a body, seen to", func(p *Policy) { p.TokensInBody, p.BodyCredentialsVisible = true, true }, ""},
		{"tokens in a body, nothing hidden", func(p *Policy) { p.TokensInBody, p.HideCredentials = true, false }, ""},
		{"allow", func(p *Policy) { p.Allow = []string{"a"} }, ""},
		{"deny", func(p *Policy) { p.Deny = []string{"a"} }, ""},
		{"allow and deny", func(p *Policy) { p.Allow, p.Deny = []string{"a"}, []string{"b"} }, "acl: "},
		{"any preflight", func(p *Policy) { p.Preflight = PreflightAny }, ""},
		{"another preflight", func(p *Policy) { p.Preflight = "none" }, "preflight: "},
		{"error_response", func(p *Policy) { p.OnError = OnErrorResponse }, ""},
		{"grpc_error", func(p *Policy) { p.OnError = OnErrorGRPC }, ""},
		{"another way to fail", func(p *Policy) { p.OnError = "allow" }, "on_error: "},
		{"a realm", func(p *Policy) { p.Realm = "the shop" }, ""},
		{"a realm with a line break", func(p *Policy) { p.Realm = "a\nb" }, "realm: "},
		{"two groups of deny in one text", func(p *Policy) { p.Allow, p.Deny = nil, []string{"staff,admins"} }, "acl: "},
		{"two groups of allow in one text", func(p *Policy) { p.Allow, p.Deny = []string{"staff, admins"}, nil }, "acl: "},
		{"a realm with a quote", func(p *Policy) { p.Realm = `a"b` }, "realm: "},
		{"a realm with a backslash", func(p *Policy) { p.Realm = `a\b` }, "realm: "},

		{"a host", func(p *Policy) { p.Hosts = []string{"api.test", "*.api.test", "api.test:443", "api.test:*"} }, ""},
		{"an empty host", func(p *Policy) { p.Hosts = []string{""} }, "hosts: "},
		{"a host in capitals", func(p *Policy) { p.Hosts = []string{"API.test"} }, "hosts: "},
		{"a host with an odd port", func(p *Policy) { p.Hosts = []string{"api.test:http"} }, "hosts: "},
		{"a host with no port behind the colon", func(p *Policy) { p.Hosts = []string{"api.test:"} }, "hosts: "},
		{"a host with two ports", func(p *Policy) { p.Hosts = []string{"api.test:1:2"} }, "hosts: "},
		{"a path", func(p *Policy) { p.Paths = []string{"/", "/a/b"} }, ""},
		{"a path that is not plain", func(p *Policy) { p.Paths = []string{"/a/../b"} }, "paths: "},
		{"a path with a query", func(p *Policy) { p.Paths = []string{"/a?b=1"} }, "paths: "},
		{"a path that is encoded", func(p *Policy) { p.Paths = []string{"/%61"} }, "paths: "},
		{"a path with an empty segment", func(p *Policy) { p.Paths = []string{"/a//b"} }, "paths: "},

		{"as many names as may be", func(p *Policy) { p.AccessTokenNames = names(maxNames) }, ""},
		{"more names", func(p *Policy) { p.AccessTokenNames = names(maxNames + 1) }, "access_token_name: give 1 to"},
		{"no names", func(p *Policy) { p.SecretTokenNames = nil }, "secret_token_name: give 1 to"},
		{"a name as long as may be", func(p *Policy) { p.AccessTokenNames = []string{strings.Repeat("a", 64)} }, ""},
		{"a longer name", func(p *Policy) { p.AccessTokenNames = []string{strings.Repeat("a", 65)} }, "access_token_name: "},
		{"an empty name", func(p *Policy) { p.AccessTokenNames = []string{""} }, "access_token_name: "},
		{"every kind of character", func(p *Policy) { p.AccessTokenNames = []string{"azAZ09_-"} }, ""},
		{"one name for both tokens", func(p *Policy) { p.AccessTokenNames, p.SecretTokenNames = []string{"key"}, []string{"key"} }, "is a name of access_token_name too"},
		{"one name for both tokens, in two spellings", func(p *Policy) { p.AccessTokenNames, p.SecretTokenNames = []string{"a_key"}, []string{"A-Key"} }, "is a name of access_token_name too"},
		{"a name twice for one token", func(p *Policy) { p.AccessTokenNames = []string{"a_key", "a-key"} }, ""},
		{"a header with a meaning", func(p *Policy) { p.AccessTokenNames = []string{"Content_Type"} }, "a meaning of its own"},
		{"an identity header", func(p *Policy) { p.AccessTokenNames = []string{"x_consumer_id"} }, "a meaning of its own"},
		{"the last mistake after one that stops", func(p *Policy) { p.AccessTokenNames = []string{"a b", "cookie"} }, "a meaning of its own"},
	}
	for _, c := range neighbours {
		tests = append(tests, struct {
			name    string
			change  func(*Policy)
			mistake string
		}{"a name with " + string(c), func(p *Policy) { p.AccessTokenNames = []string{"a" + string(c)} }, "access_token_name: "})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := DefaultPolicy()
			p.Name, p.Vault = "orders", "main"
			test.change(&p)
			wantMistake(t, p.Validate(), test.mistake)
		})
	}
}

func wantMistake(t *testing.T, err error, mistake string) {
	t.Helper()
	if mistake == "" && err != nil || mistake != "" && (err == nil || !strings.Contains(err.Error(), mistake)) {
		t.Errorf("got %v, want a mistake: %q", err, mistake)
	}
}

func TestAConsumerIsValidUpToItsLimitsAndNotBeyond(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		change  func(*Consumer)
		mistake string
	}{
		{"with a username", func(*Consumer) {}, ""},
		{"with a custom id", func(c *Consumer) { c.Username, c.CustomID = "", "c-1" }, ""},
		{"with neither", func(c *Consumer) { c.Username = "" }, "at least one of"},
		{"without an id", func(c *Consumer) { c.ID = "" }, "id: "},
		{"as long as may be", func(c *Consumer) { c.Username = strings.Repeat("a", maxFieldLength) }, ""},
		{"longer", func(c *Consumer) { c.Username = strings.Repeat("a", maxFieldLength+1) }, "username: longer"},
		{"a longer custom id", func(c *Consumer) { c.CustomID = strings.Repeat("a", maxFieldLength+1) }, "custom_id: longer"},
		{"a space inside", func(c *Consumer) { c.Username = "alice b" }, ""},
		{"a space before", func(c *Consumer) { c.Username = " alice" }, "begins or ends with a space"},
		{"a space behind", func(c *Consumer) { c.Username = "alice " }, "begins or ends with a space"},
		{"another language", func(c *Consumer) { c.Username = "Zoë" }, ""},
		{"not UTF-8", func(c *Consumer) { c.Username = "Zo\xeb" }, "not UTF-8"},
		{"a control character", func(c *Consumer) { c.Username = "a\x1fb" }, "control character"},
		{"a line break at the end", func(c *Consumer) { c.Username = "alice\n" }, "control character"},
		{"DEL", func(c *Consumer) { c.Username = "a\x7fb" }, "control character"},
		{"a tilde, which comes before DEL", func(c *Consumer) { c.Username = "a~b" }, ""},
		{"groups", func(c *Consumer) { c.Groups = []string{"gold", "eu west"} }, ""},
		{"a group without a name", func(c *Consumer) { c.Groups = []string{"gold", ""} }, "a group has no name"},
		{"a group with a comma", func(c *Consumer) { c.Groups = []string{"gold,eu"} }, "contains a comma"},
		{"a group with a line break", func(c *Consumer) { c.Groups = []string{"a\nb"} }, "groups: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := Consumer{ID: aliceID, Username: "alice"}
			test.change(&c)
			wantMistake(t, c.Validate(), test.mistake)
		})
	}
}

func TestUUIDsAreInLowerCaseWithDashesInTheirPlaces(t *testing.T) {
	t.Parallel()
	const good = "09af09af-09af-09af-09af-09af09af09af"
	if !IsUUID(good) {
		t.Errorf("%q is none", good)
	}
	bad := []string{"", good[1:], good + "0", strings.ToUpper(good), strings.ReplaceAll(good, "-", "0")}
	for i := range len(good) {
		// A dash where none belongs, and none where one does.
		other := "-"
		if good[i] == '-' {
			other = "a"
		}
		bad = append(bad, good[:i]+other+good[i+1:])
	}
	for _, c := range neighbours + "gG" {
		bad = append(bad, good[:len(good)-1]+string(c))
	}
	for _, s := range bad {
		if IsUUID(s) {
			t.Errorf("%q is one", s)
		}
	}
}

func TestTheGrammarHoldsUpToItsLimitsAndNotBeyond(t *testing.T) {
	t.Parallel()
	for length, valid := range map[int]bool{-1: false, 0: false, 1: true, 4096: true, 4097: false} {
		if err := (Grammar{MaxLength: length}).Validate(); (err == nil) != valid {
			t.Errorf("max_length %d: got %v, want it valid: %t", length, err, valid)
		}
	}
	if err := (Grammar{MaxLength: 1, ExtraCharacters: extraAllowed}).Validate(); err != nil {
		t.Errorf("all extra characters: %v", err)
	}
	g := DefaultGrammar()
	const plain = "azAZ09._~-"
	for c := range 256 {
		token := "a" + string([]byte{byte(c)})
		want := strings.IndexByte(plain, byte(c)) >= 0 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if got := g.AccessToken(token); got != want {
			t.Errorf("access token %q: got %t, want %t", token, got, want)
		}
		want = c > ' ' && c < 0x7f && !slices.Contains([]byte(",!"), byte(c))
		if got := g.SecretToken(token); got != want {
			t.Errorf("secret token %q: got %t, want %t", token, got, want)
		}
	}
	if !g.SecretToken(strings.Repeat("a", g.MaxLength)) || !g.AccessToken(strings.Repeat("a", g.MaxLength)) {
		t.Error("a token of the greatest length is refused")
	}
}
