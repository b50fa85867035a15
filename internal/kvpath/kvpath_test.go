package kvpath_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

func TestSegment(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"abc":                      true,
		"a.b":                      true,
		"A-b_c~d:e=f@g+h&i'j(k)*$": true,
		strings.Repeat("a", 4096):  true,
		strings.Repeat("a", 4097):  false,
		"":                         false,
		".":                        false,
		"..":                       false,
		"a..b":                     false,
		"a/b":                      false,
		`a\b`:                      false,
		"a%2fb":                    false,
		"a?b":                      false,
		"a#b":                      false,
		"a;b":                      false,
		"a b":                      false,
		"a\x00":                    false,
		"a\x7f":                    false,
		"ä":                        false,
		"a,b":                      false,
		"a!":                       false,
	} {
		if got := kvpath.IsSegment(s); got != want {
			t.Errorf("IsSegment(%.20q) = %t, want %t", s, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"kong-auth": true, "team/kong-auth": true, "a/b/c": true,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, "a/./b": false, "a/../b": false,
	} {
		if got := kvpath.IsPath(p); got != want {
			t.Errorf("IsPath(%q) = %t, want %t", p, got, want)
		}
	}
}

// What is taken comes through a URL and through cleaning as it went in.
func FuzzSegment(f *testing.F) {
	for _, s := range []string{"abc", "a.b", "..", "a%2e", "a+b", "a&b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !kvpath.IsSegment(s) {
			return
		}
		u, err := url.Parse("http://vault.example:8200/v1/kv/" + s)
		if err != nil || u.Path != "/v1/kv/"+s || u.RawQuery != "" || u.Fragment != "" || path.Clean(u.Path) != u.Path {
			t.Errorf("%q becomes %v (%v)", s, u, err)
		}
	})
}
