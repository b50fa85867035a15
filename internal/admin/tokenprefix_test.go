package admin

import (
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
)

func TestGeneratedTokensHaveThePrefixOfTheVaultObject(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	if got := b.must(201, b.do("POST", credentials+"/alice", "", "")).text("data.access_token"); len(got) != authz.RandomLength {
		t.Errorf("without a prefix: got the token %q", got)
	}
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "token_prefix=va_live"))
	made := b.must(201, b.do("POST", credentials+"/alice", "", ""))
	access, secret := made.text("data.access_token"), made.text("data.secret_token")
	const prefix = authz.TokenPrefix("va_live")
	if !strings.HasPrefix(access, "va_live_access_") || prefix.Mistyped(access) || !strings.HasPrefix(secret, "va_live_secret_") {
		t.Errorf("got %q and %q", access, secret)
	}
	if got := b.must(201, b.do("POST", credentials+"/token/"+access+"/rotate", "", "")).text("data.secret_token"); !strings.HasPrefix(got, "va_live_secret_") || got == secret {
		t.Errorf("a rotation made %q", got)
	}
	// One's own are as they are, unless a request with them would be refused.
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=bar"))
	b.must(201, b.form("POST", credentials+"/alice", "access_token="+prefix.AccessToken(credential.NewToken())))
	for _, token := range []string{access + "x", "va_live_access_mine", secret} {
		if a := b.must(400, b.form("POST", credentials+"/alice", "access_token="+token)); !strings.Contains(a.raw, "its checksum is wrong") {
			t.Errorf("%q: got %s", token, a.raw)
		}
	}
	// One that somebody has put there is shown as what a check says.
	b.put("va_live_access_old", `{"access_token":"va_live_access_old","secret_token":"s"}`)
	b.api.deps.Judge = func(string) func(string, []byte) authz.Outcome {
		return func(string, []byte) authz.Outcome { return authz.Outcome{Reason: authz.ReasonAuthenticated} }
	}
	if got := b.get(credentials + "/token/va_live_access_old").text("data.state"); got != "unknown_token" {
		t.Errorf("a token with a wrong checksum is listed as %q", got)
	}
	if got := b.get(credentials + "/token/" + access).text("data.state"); got != "good" {
		t.Errorf("a token with a good checksum is listed as %q", got)
	}
}

func TestAPrefixMustMakeTokensThatCanBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.Grammar.MaxLength = 52 })
	b.must(201, b.form("POST", "/vault-auth", vaultForm+"&token_prefix=va_liv"))
	for _, bad := range []string{"va_live", "v", "va-live", "va_secret"} {
		if a := b.must(400, b.form("PATCH", "/vault-auth/kong-auth", "token_prefix="+bad)); !strings.Contains(a.raw, "token_prefix: ") {
			t.Errorf("%q: got %s", bad, a.raw)
		}
	}
	if got := b.must(200, b.json("PATCH", "/vault-auth/kong-auth", `{"token_prefix":null}`)).body["token_prefix"]; got != nil {
		t.Errorf("unset: got %v", got)
	}
}
