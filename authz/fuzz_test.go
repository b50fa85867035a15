package authz

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzExtract states: it never panics; tokens that come out are well formed and
// stand in the input, decoded; and adding to duplicates in headers and query
// never makes them acceptable.
func FuzzExtract(f *testing.F) {
	seeds := []struct{ target, header, value, contentType, body string }{
		{"/?access_token=foo&secret_token=bar", "accept", "*/*", "", ""},
		{"/", "access_token", "foo", formType, "secret_token=bar"},
		{"/?access%5ftoken=f%6fo", "secret-token", "bar", jsonType, `{"access_token":"foo"}`},
		{"/?a=%zz&access_token", "secret_token", "a,b", partType, multipartBody("access_token", "foo")},
		{"//x/y?&&=&access_token=+&secret_token=%00#f", "x", "", jsonType, `{"a":[[{}]],"access_token":"x","access_token":"y"}`},
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s.target, s.header, s.value, s.contentType, s.body)
	}
	p := DefaultPolicy()
	p.Name, p.Vault, p.TokensInBody, p.BodyCredentialsVisible = "p", "v", true, true
	compiled := compile(p, nil)
	g := DefaultGrammar()
	f.Fuzz(func(t *testing.T, target, header, value, contentType, body string) {
		r := get(target, strings.ToLower(header), value, "content-type", contentType)
		r.Body = []byte(body)
		x := compiled.extract(r, g)
		if x.reason == ReasonUnset {
			for _, token := range []string{x.access, x.secret} {
				if !g.SecretToken(token) || !inInput(token, target, value, body) {
					t.Fatalf("token %q from %q %q: %q %q", token, target, header, value, body)
				}
			}
			if !g.AccessToken(x.access) {
				t.Fatalf("access token %q", x.access)
			}
			return
		}
		// A body counts only where headers and query have no token, so what
		// is added to them may rightly make it count no longer.
		r.Body = nil
		if compiled.extract(r, g).reason == ReasonDuplicateToken {
			r.Headers = append(r.Headers, Header{"access_token", "foo"}, Header{"secret_token", "bar"})
			if again := compiled.extract(r, g); again.reason == ReasonUnset {
				t.Fatalf("a duplicate became acceptable by adding to it: %q %q %q", target, header, value)
			}
		}
	})
}

// inInput says whether a token stands in one of the places, as it is or in a
// form that decodes to it.
func inInput(token string, places ...string) bool {
	for _, place := range places {
		if strings.Contains(place, token) {
			return true
		}
		if decoded, ok := unescapeAll(place); ok && strings.Contains(decoded, token) {
			return true
		}
		// A JSON escape: the body decodes to it.
		if strings.Contains(place, `\`) {
			return true
		}
	}
	return false
}

// unescapeAll decodes what can be decoded and keeps the rest.
func unescapeAll(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(s[i+1])<<4 | hexDigit(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// FuzzGrammar states: an access token that is let through is one plain segment
// of a path.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{"foo", ".", "..", "a/b", "a%2fb", "é", "a\x00"} {
		f.Add(s)
	}
	g := DefaultGrammar()
	g.ExtraCharacters = extraAllowed
	f.Fuzz(func(t *testing.T, token string) {
		if g.AccessToken(token) && (token == "" || token == "." || strings.ContainsAny(token, "/\\%?#;, \t\r\n!") ||
			strings.Contains(token, "..") || !utf8.ValidString(token)) {
			t.Errorf("%q is let through", token)
		}
	})
}

// FuzzCanonicalPath states: a path that counts as plain has no segment that
// another program could read differently, and is its own canonical form unless
// it has a percent sign.
func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b?c", "//a", "/a/../b", "/%2e%2e/x", "/a;b", "/a%252fb", "*", "", "/a#b", "/a.", "/a%20/b", "/a%e3%80%80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, ok := canonicalPath(target)
		if !ok {
			return
		}
		for segment := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/") {
			if segment == "." || segment == ".." || segment == "" && path != "/" || strings.ContainsAny(segment, "\\;\x00\r\n") ||
				segment != "" && (strings.TrimSpace(segment) != segment || strings.HasSuffix(segment, ".")) {
				t.Fatalf("%q counts as plain, with segment %q", target, segment)
			}
		}
		if again, ok := canonicalPath(path); !strings.ContainsAny(path, "%?#") && (!ok || again != path) {
			t.Fatalf("%q became %q, then %q, %t", target, path, again, ok)
		}
	})
}
