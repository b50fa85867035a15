package authz

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func basicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func withBasic(p *Policy) { p.AuthorizationScheme = SchemeBasic }

// withBearer makes the header carry the access token.
func withBearer(p *Policy) {
	p.AuthorizationScheme = SchemeBearer
	p.AccessTokenNames = []string{"authorization", "access_token"}
}

func TestTheAuthorizationHeaderIsReadByTheSchemeOfThePolicy(t *testing.T) {
	t.Parallel()
	none := func(p *Policy) { p.AccessTokenNames = []string{"authorization", "access_token"} }
	secretByBearer := func(p *Policy) {
		p.AuthorizationScheme, p.SecretTokenNames = SchemeBearer, []string{"Authorization"}
	}
	inBody := func(p *Policy) { p.AuthorizationScheme, p.TokensInBody, p.HideCredentials = SchemeBasic, true, false }
	const secret = "supersecretvalue"
	pair := basicHeader("foo", secret)
	encoded := strings.TrimPrefix(pair, "Basic ")
	tests := []struct {
		name    string
		policy  func(*Policy)
		request *Request
		want    Reason
	}{
		{"off: a token by itself, as in Kong", none, get("/", "authorization", "foo", "secret_token", secret), ReasonAuthenticated},
		{"off: Bearer is not taken away", none, get("/", "authorization", "Bearer foo", "secret_token", secret), ReasonMalformedToken},
		{"off: Basic is no pair", nil, get("/", "authorization", pair), ReasonMissingToken},

		{"bearer", withBearer, get("/", "authorization", "Bearer foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer in lower case", withBearer, get("/", "authorization", "bearer foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer in capitals, with several spaces", withBearer, get("/", "authorization", "BEARER   foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer for the secret token", secretByBearer, get("/", "access_token", "foo", "authorization", "Bearer "+secret), ReasonAuthenticated},
		{"bearer, and the header has another name of the token", withBearer, get("/", "access_token", "foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer, and the query has the token by itself", withBearer, get("/?authorization=foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer, and the query has a scheme", withBearer, get("/?authorization=Bearer%20foo", "secret_token", secret), ReasonMalformedToken},
		{"bearer, and the query has the same token", withBearer, get("/?access_token=foo", "authorization", "Bearer foo", "secret_token", secret), ReasonAuthenticated},
		{"bearer, and the query has another token", withBearer, get("/?access_token=bar", "authorization", "Bearer foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer beside the token under its other name", withBearer, get("/", "authorization", "Bearer foo", "access_token", "foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer twice", withBearer, get("/", "authorization", "Bearer foo", "authorization", "Bearer foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer twice, joined", withBearer, get("/", "authorization", "Bearer foo,Bearer foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer behind another scheme, joined", withBearer, get("/", "authorization", "Digest a, Bearer foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer: the token without the scheme", withBearer, get("/", "authorization", "foo", "secret_token", secret), ReasonMalformedToken},
		{"bearer: another scheme", withBearer, get("/", "authorization", pair, "secret_token", secret), ReasonMalformedToken},
		{"bearer: another scheme beside the token", withBearer, get("/", "authorization", pair, "access_token", "foo", "secret_token", secret), ReasonDuplicateToken},
		{"bearer: another scheme blocks the query", withBearer, get("/?access_token=foo", "authorization", pair, "secret_token", secret), ReasonDuplicateToken},
		{"bearer: a longer word", withBearer, get("/", "authorization", "Bearers foo", "secret_token", secret), ReasonMalformedToken},
		{"bearer: a tab for a space", withBearer, get("/", "authorization", "Bearer\tfoo", "secret_token", secret), ReasonMalformedToken},
		{"bearer: a space in front", withBearer, get("/", "authorization", " Bearer foo", "secret_token", secret), ReasonMalformedToken},
		{"bearer: a space behind", withBearer, get("/", "authorization", "Bearer foo ", "secret_token", secret), ReasonMalformedToken},
		{"bearer: two tokens", withBearer, get("/", "authorization", "Bearer foo bar", "secret_token", secret), ReasonMalformedToken},
		{"bearer: the scheme twice", withBearer, get("/", "authorization", "Bearer Bearer foo", "secret_token", secret), ReasonMalformedToken},
		{"bearer: the word alone", withBearer, get("/", "authorization", "Bearer", "secret_token", secret), ReasonMalformedToken},
		{"bearer: no token", withBearer, get("/", "authorization", "Bearer ", "secret_token", secret), ReasonMissingToken},
		{"bearer: an empty header", withBearer, get("/", "authorization", "", "secret_token", secret), ReasonMalformedToken},
		{"bearer: a path", withBearer, get("/", "authorization", "Bearer ../foo", "secret_token", secret), ReasonMalformedToken},

		{"basic", withBasic, get("/", "authorization", pair), ReasonAuthenticated},
		{"basic in capitals, with several spaces", withBasic, get("/", "authorization", "BASIC  "+encoded), ReasonAuthenticated},
		{"basic, and the tokens in headers of their own", withBasic, good(), ReasonAuthenticated},
		{"basic, and the tokens in the query", withBasic, get("/?access_token=foo&secret_token=" + secret), ReasonAuthenticated},
		{"basic with a wrong secret", withBasic, get("/", "authorization", basicHeader("foo", "wrong")), ReasonWrongSecret},
		{"basic with an unknown access token", withBasic, get("/", "authorization", basicHeader("bar", secret)), ReasonUnknownToken},
		{"basic beside the same pair in headers", withBasic, get("/", "authorization", pair, "access_token", "foo", "secret_token", secret), ReasonDuplicateToken},
		{"basic beside another access token", withBasic, get("/", "authorization", pair, "access_token", "bar"), ReasonDuplicateToken},
		{"basic beside another secret token", withBasic, get("/", "secret-token", "other", "authorization", pair), ReasonDuplicateToken},
		{"basic beside the same pair in the query", withBasic, get("/?access_token=foo&secret_token="+secret, "authorization", pair), ReasonAuthenticated},
		{"basic beside another access token in the query", withBasic, get("/?access_token=bar", "authorization", pair), ReasonDuplicateToken},
		{"basic beside another secret token in the query", withBasic, get("/?secret_token=other", "authorization", pair), ReasonDuplicateToken},
		{"basic with a wrong secret beside the right one in the query", withBasic, get("/?secret_token="+secret, "authorization", basicHeader("foo", "wrong")), ReasonDuplicateToken},
		{"basic twice", withBasic, get("/", "authorization", pair, "authorization", pair), ReasonDuplicateToken},
		{"basic twice, joined", withBasic, get("/", "authorization", pair+","+pair), ReasonDuplicateToken},
		{"basic with a comma in the secret", withBasic, get("/", "authorization", basicHeader("foo", "a,b")), ReasonDuplicateToken},
		{"basic: another scheme", withBasic, get("/", "authorization", "Bearer foo"), ReasonMalformedToken},
		{"basic: another scheme beside the tokens", withBasic, get("/", "authorization", "Bearer foo", "access_token", "foo", "secret_token", secret), ReasonDuplicateToken},
		{"basic: another scheme blocks the body", inBody, &Request{HTTP: true, Method: "POST", Path: "/", Headers: []Header{{"authorization", "Bearer foo"}, {"content-type", "application/x-www-form-urlencoded"}}, Body: []byte("access_token=foo&secret_token=" + secret)}, ReasonMalformedToken},
		{"basic: the word alone", withBasic, get("/", "authorization", "Basic"), ReasonMalformedToken},
		{"basic: nothing behind the word", withBasic, get("/", "authorization", "Basic "), ReasonMalformedToken},
		{"basic: an empty header", withBasic, get("/", "authorization", ""), ReasonMalformedToken},
		{"basic: no user", withBasic, get("/", "authorization", basicHeader("", secret)), ReasonMissingToken},
		{"basic: no password", withBasic, get("/", "authorization", basicHeader("foo", "")), ReasonMissingToken},
		{"basic: neither", withBasic, get("/", "authorization", basicHeader("", "")), ReasonMissingToken},
		{"basic: no colon", withBasic, get("/", "authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("foo"))), ReasonMalformedToken},
		{"basic: not encoded", withBasic, get("/", "authorization", "Basic foo:"+secret), ReasonMalformedToken},
		{"basic: without its padding", withBasic, get("/", "authorization", strings.TrimRight(pair, "=")), ReasonMalformedToken},
		{"basic: with spare padding", withBasic, get("/", "authorization", pair+"="), ReasonMalformedToken},
		{"basic: with something behind", withBasic, get("/", "authorization", pair+" x"), ReasonMalformedToken},
		{"basic: a space behind", withBasic, get("/", "authorization", pair+" "), ReasonMalformedToken},
		{"basic: a line break inside", withBasic, get("/", "authorization", "Basic "+encoded[:8]+"\r\n"+encoded[8:]), ReasonMalformedToken},
		{"basic: bits that no byte has", withBasic, get("/", "authorization", "Basic Zm9vOmJhcjF="), ReasonMalformedToken},
		{"basic: the alphabet of URLs", withBasic, get("/", "authorization", "Basic "+base64.URLEncoding.EncodeToString([]byte("foo:\xfb\xff\xfe"))), ReasonMalformedToken},
		{"basic: bytes that are no text", withBasic, get("/", "authorization", basicHeader("foo", "\xff\x00")), ReasonMalformedToken},
		{"basic: a line break in the secret", withBasic, get("/", "authorization", basicHeader("foo", secret+"\n")), ReasonMalformedToken},
		{"basic: an access token that is a path", withBasic, get("/", "authorization", basicHeader("../sys", secret)), ReasonMalformedToken},
		{"basic: a space before the access token", withBasic, get("/", "authorization", basicHeader(" foo", secret)), ReasonMalformedToken},
		{"basic: longer than any pair", withBasic, get("/", "authorization", basicHeader("foo", strings.Repeat("x", 2*maxTokenLength))), ReasonMalformedToken},
		{"basic: bytes that Envoy has replaced", withBasic, get("/", "authorization", pair[:12]+"!"+pair[13:]), ReasonMalformedToken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.policy)
			if d := b.Check(t.Context(), test.request); d.Reason != test.want || d.Allowed != (test.want == ReasonAuthenticated) {
				t.Errorf("got allowed=%t reason=%s err=%v, want %s", d.Allowed, d.Reason, d.Err, test.want)
			} else if !d.Allowed && d.Status() != 401 {
				t.Errorf("status: got %d, want 401", d.Status())
			}
		})
	}
}

func TestASecretWithColonsIsThePasswordFromTheFirstColonOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, withBasic)
	b.put("a:b::c:", nil)
	if d := b.Check(t.Context(), get("/", "authorization", basicHeader("foo", "a:b::c:"))); d.Reason != ReasonAuthenticated {
		t.Errorf("got %s, want authenticated", d.Reason)
	}
	if d := b.Check(t.Context(), get("/", "authorization", basicHeader("foo", "a"))); d.Allowed {
		t.Error("the part before a colon is enough")
	}
}

func TestTheAuthorizationHeaderIsHiddenLikeTheTokens(t *testing.T) {
	t.Parallel()
	for name, scheme := range map[string]func(*Policy){"basic": withBasic, "bearer": withBearer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := map[string]string{"basic": basicHeader("foo", "supersecretvalue"), "bearer": "Bearer foo"}[name]
			pair := get("/", "authorization", value)
			if name == "bearer" {
				pair.Headers = append(pair.Headers, Header{"secret_token", "supersecretvalue"})
			}
			preflight := preflight()
			preflight.Headers = append(preflight.Headers, Header{"authorization", value})
			for _, test := range []struct {
				name    string
				request *Request
				change  func(*Policy)
				hidden  bool
			}{
				{"an allow", pair, nil, true},
				{"an allow by headers of their own, with another scheme for the upstream", good(), nil, true},
				{"the anonymous consumer", get("/", "authorization", "Digest x"), func(p *Policy) { p.Anonymous = "visitor" }, true},
				{"a preflight", preflight, func(p *Policy) { p.RunOnPreflight = false }, true},
				{"hide_credentials off", pair, func(p *Policy) { p.HideCredentials = false }, false},
				{"shadow", pair, func(p *Policy) { p.Shadow = true }, false},
			} {
				d := newBench(t, func(p *Policy) {
					scheme(p)
					if test.change != nil {
						test.change(p)
					}
				}).Check(t.Context(), test.request)
				if !d.Allowed {
					t.Fatalf("%s: denied: %s", test.name, d.Reason)
				}
				if got := slices.Contains(d.Upstream.RemoveAlso, "authorization"); got != test.hidden {
					t.Errorf("%s: removes %q, want authorization in it: %t", test.name, d.Upstream.RemoveAlso, test.hidden)
				}
			}
		})
	}
	d := newBench(t, nil).Check(t.Context(), good())
	if slices.Contains(d.Upstream.RemoveAlso, "authorization") {
		t.Error("the header is removed by a policy that does not read it")
	}
}

func TestASchemeGoesWithTheNamesOfTheTokens(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		scheme         Scheme
		access, secret []string
		mistake        string
	}{
		{"basic", SchemeBasic, []string{"access_token"}, []string{"secret_token"}, ""},
		{"basic with the header among the names", SchemeBasic, []string{"access_token", "Authorization"}, []string{"secret_token"}, "authorization_scheme: basic carries both"},
		{"bearer for the access token", SchemeBearer, []string{"AUTHORIZATION"}, []string{"secret_token"}, ""},
		{"bearer for the secret token", SchemeBearer, []string{"access_token"}, []string{"key", "authorization"}, ""},
		{"bearer for no token", SchemeBearer, []string{"access_token"}, []string{"secret_token"}, "authorization_scheme: bearer carries one"},
		{"bearer for both", SchemeBearer, []string{"authorization"}, []string{"authorization"}, "is a name of access_token_name too"},
		{"another scheme", "digest", []string{"authorization"}, []string{"secret_token"}, `authorization_scheme: "digest" is neither`},
		{"a scheme in capitals", "Basic", []string{"access_token"}, []string{"secret_token"}, `authorization_scheme: "Basic" is neither`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := DefaultPolicy()
			p.Name, p.Vault, p.AuthorizationScheme, p.AccessTokenNames, p.SecretTokenNames = "p", "v", test.scheme, test.access, test.secret
			wantMistake(t, p.Validate(), test.mistake)
		})
	}
}

// FuzzAuthorization states: a header gives tokens only if it is the one way, but for
// the case of the scheme and the number of spaces, to write them.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"Basic Zm9vOmJhcg==", "bAsIc   Zm9vOmJhcg==", "Basic Zm9vOmJhcjF=", "Basic Zm9vOmJhcg", "Basic Zm9v\nOmJhcg==", "Bearer foo", "Bearer  foo", "bearer\tfoo", "Bearer foo,Bearer bar", "ba\xc5\xbfic Zm9vOmJhcg==", ""} {
		f.Add(s)
	}
	g := DefaultGrammar()
	compiled := map[Scheme]*policy{}
	for scheme, change := range map[Scheme]func(*Policy){SchemeBasic: withBasic, SchemeBearer: withBearer} {
		p := DefaultPolicy()
		p.Name, p.Vault = "p", "v"
		change(&p)
		compiled[scheme] = compile(p, nil)
	}
	written := func(header, scheme, credentials string) bool {
		word, rest, _ := strings.Cut(header, " ")
		return strings.ToLower(word) == scheme && strings.TrimLeft(rest, " ") == credentials
	}
	f.Fuzz(func(t *testing.T, header string) {
		x := compiled[SchemeBasic].extract(get("/", "authorization", header), g)
		if x.reason == ReasonUnset && !written(header, "basic", base64.StdEncoding.EncodeToString([]byte(x.access+":"+x.secret))) {
			t.Errorf("%q gives %q and %q", header, x.access, x.secret)
		}
		x = compiled[SchemeBearer].extract(get("/", "authorization", header, "secret_token", "s"), g)
		if x.reason == ReasonUnset && !written(header, "bearer", x.access) {
			t.Errorf("%q gives %q", header, x.access)
		}
		for scheme, p := range compiled {
			r := get("/", "authorization", header, "access_token", "foo", "secret_token", "bar")
			if x := p.extract(r, g); x.reason == ReasonUnset {
				t.Errorf("%s: %q beside both tokens is accepted", scheme, header)
			}
		}
	})
}
