package envoy

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
)

// ownDenials are options that say everything of their own.
func ownDenials() authz.DenialOptions {
	return authz.DenialOptions{
		Unauthenticated: authz.DenialAnswer{Message: `No "key", no <entry> & no more`},
		Forbidden:       authz.DenialAnswer{Status: http.StatusNotFound},
		Unavailable:     authz.DenialAnswer{Status: http.StatusTooManyRequests, Message: "Please wait"},
		Body: authz.DenialBody{
			JSON:     `{"type":"about:blank","title":"{{title}}","status":{{status}},"detail":"{{message}}","instance":"urn:{{class}}:{{ request_id }}","realm":"{{realm}}"}`,
			JSONType: "application/problem+json",
			HTML:     "<title>{{status}} {{title}}</title><p title='{{message}}'>{{class}}, {{request_id}}, {{realm}}",
			XML:      "<e class='{{class}}' realm=\"{{realm}}\">{{status}}<t>{{title}}</t><m>{{message}}</m>{{request_id}}</e>",
			Text:     "{{status}} {{title}} ({{class}})\n{{message}}\n{{realm}} {{request_id}}\n",
		},
		Docs: "https://developer.example.com/keys",
	}
}

// plainDenials are options as most people write them.
func plainDenials() authz.DenialOptions {
	return authz.DenialOptions{
		Unauthenticated: authz.DenialAnswer{Message: "This needs an access token and a secret token; see the documentation."},
		Body: authz.DenialBody{
			JSON: `{"error":{"code":"{{class}}","message":"{{message}}","request_id":"{{request_id}}"}}`,
			HTML: "<!doctype html>\n<title>{{title}}</title>\n<h1>{{title}}</h1>\n<p>{{message}}\n<p>{{request_id}}\n",
		},
		Docs: "https://developer.example.com/keys",
	}
}

// ownDenial is a denial by a policy with options, for a reason.
func ownDenial(tb testing.TB, options authz.DenialOptions, reason authz.Reason) authz.Decision {
	tb.Helper()
	d := deciding(tb, func(p *authz.Policy) { p.Denial, p.Realm = options, "Tom & Jerry's <shop>" }).Check(tb.Context(), getRequest())
	d.Reason, d.AccessToken = reason, presented
	return d
}

func TestADenialIsWrittenAsItsPolicySays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, accept string
		reason       authz.Reason
		status       int
		contentType  string
		body         string
	}{
		{
			"JSON", "*/*", authz.ReasonWrongSecret, 401, "application/problem+json; charset=utf-8",
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"No \"key\", no \u003centry\u003e \u0026 no more",` +
				`"instance":"urn:unauthenticated:` + requestHex + `","realm":"Tom \u0026 Jerry's \u003cshop\u003e"}`,
		},
		{
			"HTML", "text/html", authz.ReasonMissingToken, 401, "text/html; charset=utf-8",
			"<title>401 Unauthorized</title><p title='No &#34;key&#34;, no &lt;entry&gt; &amp; no more'>unauthenticated, " + requestHex + ", Tom &amp; Jerry&#39;s &lt;shop&gt;",
		},
		{
			"XML", "application/xml", authz.ReasonACL, 404, "application/xml; charset=utf-8",
			`<e class='forbidden' realm="Tom &amp; Jerry&#39;s &lt;shop&gt;">404<t>Not Found</t><m>Not Found</m>` + requestHex + `</e>`,
		},
		{
			"text", "text/plain", authz.ReasonUnavailable, 429, "text/plain; charset=utf-8",
			"429 Too Many Requests (unavailable)\nPlease wait\nTom & Jerry's <shop> " + requestHex + "\n",
		},
		{
			"text about a mistake of ours", "text/plain", authz.ReasonAnonymousMissing, 500, "text/plain; charset=utf-8",
			"500 Internal Server Error (internal)\nAn unexpected error occurred\nTom & Jerry's <shop> " + requestHex + "\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := getRequest(authz.Header{Name: "accept", Value: test.accept}, authz.Header{Name: "x-request-id", Value: requestUUID})
			out := responded(t, r, ownDenial(t, ownDenials(), test.reason))
			mustDeny(t, out, test.status)
			if diff := cmp.Diff(test.body, out.GetDeniedResponse().GetBody()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			for name, want := range map[string]string{"content-type": test.contentType, "cache-control": "no-store", "x-content-type-options": "nosniff"} {
				if got := denialHeader(out, name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// A body without a template has its usual form, with the message of the policy.
func TestWhatAPolicyDoesNotSayOfADenialStaysAsItIs(t *testing.T) {
	t.Parallel()
	options := authz.DenialOptions{Unauthenticated: authz.DenialAnswer{Message: `a "b"`}, Body: authz.DenialBody{HTML: "<p>{{message}}"}}
	for accept, want := range map[string]string{
		"":                "{\n  \"message\":\"a \\\"b\\\"\",\n  \"request_id\":\"" + requestHex + "\"\n}",
		"text/html":       "<p>a &#34;b&#34;",
		"application/xml": "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>a &#34;b&#34;</message>\n  <requestid>" + requestHex + "</requestid>\n</error>\n",
		"text/plain":      "a \"b\"\nrequest_id: " + requestHex + "\n",
	} {
		r := getRequest(authz.Header{Name: "accept", Value: accept}, authz.Header{Name: "x-request-id", Value: requestUUID})
		out := responded(t, r, ownDenial(t, options, authz.ReasonWrongSecret))
		mustDeny(t, out, http.StatusUnauthorized)
		if diff := cmp.Diff(want, out.GetDeniedResponse().GetBody()); diff != "" {
			t.Errorf("Accept %q: body (-want +got):\n%s", accept, diff)
		}
	}
}

// Without the option an answer is what it was before there was one: no header more.
func TestADenialWithoutOptionsHasNoHeaderOfThem(t *testing.T) {
	t.Parallel()
	for _, reason := range authz.Reasons() {
		out := responded(t, getRequest(), ownDenial(t, authz.DenialOptions{}, reason))
		var names []string
		for _, h := range out.GetDeniedResponse().GetHeaders() {
			names = append(names, h.GetHeader().GetKey())
		}
		slices.Sort(names)
		want := []string{"content-type"}
		switch reason.Class() {
		case authz.ClassUnauthenticated:
			if reason != authz.ReasonAnonymousACL {
				want = append(want, "www-authenticate")
			}
		case authz.ClassUnavailable:
			want = append(want, "retry-after")
		case authz.ClassForbidden, authz.ClassBadRequest, authz.ClassInternal:
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: headers (-want +got):\n%s", reason, diff)
		}
	}
}

// A denial of a class keeps what tells a client what to do: the challenge of a 401, and when to
// come back, whatever the status is.
func TestTheHeadersOfADenialBelongToItsClassAndStatus(t *testing.T) {
	t.Parallel()
	hidden := authz.DenialOptions{Unauthenticated: authz.DenialAnswer{Status: http.StatusNotFound}, Unavailable: authz.DenialAnswer{Status: http.StatusTooManyRequests}}
	docs := authz.DenialOptions{Docs: "https://developer.example.com/keys"}
	tests := []struct {
		name                  string
		options               authz.DenialOptions
		scheme                authz.Scheme
		realm                 string
		reason                authz.Reason
		challenge, retryAfter string
	}{
		{"docs", docs, authz.SchemeNone, "", authz.ReasonWrongSecret, `VaultAuth docs="https://developer.example.com/keys"`, ""},
		{"docs and a realm", docs, authz.SchemeNone, "shop", authz.ReasonMissingToken, `VaultAuth realm="shop", docs="https://developer.example.com/keys"`, ""},
		{"docs, Bearer", docs, authz.SchemeBearer, "", authz.ReasonExpired, `Bearer docs="https://developer.example.com/keys"`, ""},
		{"docs, Basic", docs, authz.SchemeBasic, "", authz.ReasonExpired, `Basic realm="vault-authz", docs="https://developer.example.com/keys"`, ""},
		{"docs do not challenge anybody else", docs, authz.SchemeNone, "shop", authz.ReasonACL, "", ""},
		{"a challenge would betray a 404", hidden, authz.SchemeNone, "shop", authz.ReasonMissingToken, "", ""},
		{"429", hidden, authz.SchemeNone, "shop", authz.ReasonUnavailable, "", "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := deciding(t, func(p *authz.Policy) {
				p.Denial, p.Realm, p.AuthorizationScheme = test.options, test.realm, test.scheme
				if test.scheme == authz.SchemeBearer {
					p.SecretTokenNames = []string{"authorization"}
				}
			}).Check(t.Context(), getRequest())
			d.Reason = test.reason
			for _, contentType := range []string{"", "application/grpc"} {
				out := responded(t, getRequest(authz.Header{Name: "content-type", Value: contentType}), d)
				if got := denialHeader(out, "www-authenticate"); got != test.challenge {
					t.Errorf("content-type %q: www-authenticate: got %q, want %q", contentType, got, test.challenge)
				}
				if got := denialHeader(out, "retry-after"); got != test.retryAfter {
					t.Errorf("content-type %q: retry-after: got %q, want %q", contentType, got, test.retryAfter)
				}
			}
		})
	}
}

// Envoy makes the gRPC status of the HTTP status, and the message of the body. A client that
// claims to speak gRPC must not find out what a status hides.
func TestAGRPCClientGetsTheStatusAndTheMessageOfThePolicy(t *testing.T) {
	t.Parallel()
	for reason, want := range map[authz.Reason]struct {
		status int
		body   string
	}{
		authz.ReasonWrongSecret: {401, `No "key", no <entry> & no more`},
		authz.ReasonACL:         {404, "Not Found"},
		authz.ReasonUnavailable: {429, "Please wait"},
		authz.ReasonInternal:    {500, "An unexpected error occurred"},
	} {
		r := getRequest(authz.Header{Name: "content-type", Value: "application/grpc"}, authz.Header{Name: "accept", Value: "text/html"})
		out := responded(t, r, ownDenial(t, ownDenials(), reason))
		mustDeny(t, out, want.status)
		if got := out.GetDeniedResponse().GetBody(); got != want.body {
			t.Errorf("%s: got the body %q, want %q", reason, got, want.body)
		}
		for _, name := range []string{"content-type", "cache-control", "x-content-type-options"} {
			if got := denialHeader(out, name); got != "" {
				t.Errorf("%s: got %s %q, want Envoy's own", reason, name, got)
			}
		}
	}
}

func TestAnErrorOfAPolicyIsAnsweredAsItsDenials(t *testing.T) {
	t.Parallel()
	d := ownDenial(t, ownDenials(), authz.ReasonUnavailable)
	policy := *d.Policy
	policy.OnError = authz.OnErrorResponse
	d.Policy = &policy
	out := responded(t, getRequest(authz.Header{Name: "accept", Value: "text/plain"}), d)
	if out.GetStatus().GetCode() == 0 {
		t.Fatalf("status.code is 0, which allows: %v", out)
	}
	if got := out.GetErrorResponse(); got.GetStatus().GetCode() != http.StatusTooManyRequests || !strings.HasPrefix(got.GetBody(), "429 Too Many Requests") {
		t.Errorf("got %v", got)
	}
}

func TestAClientMayAskForTheTypeOfAPolicy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, accept, jsonType string
		want                   format
	}{
		{"it asks for it", "application/problem+json, text/html;q=0.9", "application/problem+json", formatJSON},
		{"it prefers another", "application/problem+json;q=0.5, text/html", "application/problem+json", formatHTML},
		{"it asks for plain JSON", "application/json, text/html;q=0.9", "application/problem+json", formatJSON},
		{"the policy has none", "application/problem+json, text/html;q=0.9", "", formatHTML},
		{"nothing is no type", ", text/html;q=0.9", "", formatHTML},
	} {
		if got := negotiate(test.accept, test.jsonType); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got.mediaType(), test.want.mediaType())
		}
	}
}

// FuzzDenialTemplate: what a policy accepts is what the reference makes of it, is well formed
// and bounded whatever the client sends, and contains nothing that the client chose but a UUID.
func FuzzDenialTemplate(f *testing.F) {
	const sent = "<script>alert(1)</script>"
	for _, template := range []string{
		ownDenials().Body.JSON, ownDenials().Body.HTML, ownDenials().Body.XML, ownDenials().Body.Text,
		`"{{request_id}}"`, `{{status}}`, `{"a":"{{message}}` + `\u0022"}`, `<a b="{{realm}}"/>`, `{{message}}{{message}}`, `{"a":{"b":"{{class}}"}}`,
	} {
		f.Add(template, "No key", "shop", sent)
		f.Add(template, "\"\\<>&'\u2028ü]]>--", "r&<>'ü", requestUUID)
	}
	f.Fuzz(func(t *testing.T, template, message, realm, id string) {
		for f, body := range [formatCount]authz.DenialBody{{JSON: template}, {HTML: template}, {XML: template}, {Text: template}} {
			form := format(f)
			p := authz.DefaultPolicy()
			p.Name, p.Vault, p.Realm = "orders", "main", realm
			p.Denial = authz.DenialOptions{Unauthenticated: authz.DenialAnswer{Message: message}, Body: body}
			if template == "" || p.Validate() != nil {
				continue
			}
			d := deciding(t, func(q *authz.Policy) { q.Denial, q.Realm = p.Denial, p.Realm }).Check(t.Context(), getRequest())
			r := getRequest(
				authz.Header{Name: "accept", Value: form.mediaType()},
				authz.Header{Name: "x-request-id", Value: id})
			responded(t, getRequest(r.Headers[0], authz.Header{Name: "x-request-id", Value: requestUUID}), d)
			var w writer
			if err := respond(&w, r, &d); err != nil {
				t.Fatal(err)
			}
			out := wire(t, decodedAnswer(t, &w))
			mustDeny(t, out, http.StatusUnauthorized)
			filled := out.GetDeniedResponse().GetBody()
			if len(filled) > 16<<10 {
				t.Errorf("%d bytes", len(filled))
			}
			if form == formatJSON && !json.Valid([]byte(filled)) {
				t.Errorf("not JSON: %s", filled)
			}
			if form == formatXML && !isXML(filled) {
				t.Errorf("not XML: %s", filled)
			}
			if len(id) > 16 && strings.ContainsAny(id, `<"{`) && strings.Contains(filled, id) && !strings.Contains(template+"\n"+message+"\n"+realm, id) {
				t.Errorf("it has what the client sent: %s", filled)
			}
		}
	})
}

func isXML(text string) bool {
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := decoder.Token(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
