package envoy

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	requestUUID = "42FD5D7A-8180-4af0-8596-0d18393bb913"
	requestHex  = "42fd5d7a81804af085960d18393bb913"
)

func TestDenialsAreWrittenAsKongWritesThem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, accept, contentType, body string
	}{
		{
			name: "JSON", accept: "*/*", contentType: "application/json; charset=utf-8",
			body: "{\n  \"message\":\"Unauthorized\",\n  \"request_id\":\"" + requestHex + "\"\n}",
		},
		{
			name: "plain text", accept: "text/plain", contentType: "text/plain; charset=utf-8",
			body: "Unauthorized\nrequest_id: " + requestHex + "\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := getRequest(authz.Header{Name: "accept", Value: test.accept}, authz.Header{Name: "x-request-id", Value: requestUUID})
			out := responded(t, r, denyFor(authz.ReasonWrongSecret))
			if got := denialHeader(out, "content-type"); got != test.contentType {
				t.Errorf("content-type: got %q, want %q", got, test.contentType)
			}
			if diff := cmp.Diff(test.body, out.GetDeniedResponse().GetBody()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
	for mediaType, want := range map[string]string{"text/html": "<p>Unauthorized.</p>", "application/xml": "<message>Unauthorized</message>"} {
		t.Run(mediaType, func(t *testing.T) {
			t.Parallel()
			out := responded(t, getRequest(authz.Header{Name: "accept", Value: mediaType}), denyFor(authz.ReasonWrongSecret))
			if got := denialHeader(out, "content-type"); got != mediaType+"; charset=utf-8" {
				t.Errorf("content-type: got %q", got)
			}
			if got := out.GetDeniedResponse().GetBody(); !strings.Contains(got, want) {
				t.Errorf("body: got %s, want %s in it", got, want)
			}
		})
	}
}

func TestTheMessageOfADenialIsEscaped(t *testing.T) {
	t.Parallel()
	for _, message := range []string{`<b>"a" & 'b'</b>`, `a\b`, "a\tb", "\u00fc \u2028", "10 %", "Forbidden."} {
		rendered := func(f format) string {
			var w writer
			w.render(f, http.StatusForbidden, message, requestHex)
			return string(w.written())
		}
		var decoded struct {
			Message string `json:"message" xml:"message"`
		}
		if err := json.Unmarshal([]byte(rendered(formatJSON)), &decoded); err != nil || decoded.Message != message {
			t.Errorf("JSON: got %q, %v, want %q", decoded.Message, err, message)
		}
		decoded.Message = ""
		if err := xml.Unmarshal([]byte(rendered(formatXML)), &decoded); err != nil || decoded.Message != message {
			t.Errorf("XML: got %q, %v, want %q", decoded.Message, err, message)
		}
		if got := rendered(formatHTML); strings.Contains(got, "<b>") {
			t.Errorf("HTML: got %s", got)
		}
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	const (
		jsonType  = "application/json"
		htmlType  = "text/html"
		xmlType   = "application/xml"
		plainType = "text/plain"
	)
	tests := []struct{ name, accept, want string }{
		{"none", "", jsonType},
		{"anything", "*/*", jsonType},
		{"unknown", "image/png", jsonType},
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", htmlType},
		{"the highest quality", "text/html;q=0.5, application/xml;q=0.7, text/plain;q=0.6", xmlType},
		{"the first of equals", "text/plain, text/html", plainType},
		{"the first of equals, explicitly", "text/plain;q=0.5, text/html;q=0.5", plainType},
		{"an unknown type is passed over", "image/png, text/plain;q=0.1", plainType},
		{"anything before something", "text/html;q=0.5, */*", jsonType},
		{"refused", "text/html;q=0", jsonType},
		{"refused among others", "text/html;q=0, text/plain;q=0.1", plainType},
		{"upper case", "TEXT/HTML", htmlType},
		{"upper case quality", "text/html;Q=0.1, text/plain;Q=0.2", plainType},
		{"other parameters", "text/html;level=1;charset=utf-8", htmlType},
		{"spaces", "  text/plain ; q=0.9 , text/html ; q=0.8 ", plainType},
		{"quality out of range", "text/html;q=2, text/plain;q=0.1", plainType},
		{"quality below range", "text/html;q=-1", jsonType},
		{"quality that is no number", "text/html;q=high, text/plain;q=0.1", plainType},
		{"quality NaN", "text/html;q=NaN", jsonType},
		{"quality infinite", "text/html;q=Inf", jsonType},
		{"a parameter before the quality", "text/html;level=1;q=0.1, application/xml;q=0.5", xmlType},
		{"the highest quality there is", "text/html;q=1, text/plain;q=0.9", htmlType},
		{"garbage", ";;;,,,=q", jsonType},
		{"quality that is too long", "text/html;q=0.50000, text/plain;q=0.1", plainType},
		{"a quality after too many parameters does not count", "text/plain;q=0.5, text/html" + strings.Repeat(";a", 8) + ";q=0.1", htmlType},
		{"too many ranges", strings.Repeat("a/b,", 1000) + "text/html", jsonType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := negotiate(test.accept, "").mediaType(); got != test.want {
				t.Errorf("Accept %q: got %s, want %s", test.accept, got, test.want)
			}
		})
	}
}

func TestTheRequestIDIsThatOfTheRequestIfItIsAUUID(t *testing.T) {
	t.Parallel()
	random := regexp.MustCompile(`^[0-9a-f]{32}$`)
	tests := []struct {
		name string
		ids  []string
		want string
	}{
		{name: "a UUID", ids: []string{requestUUID}, want: requestHex},
		{name: "without dashes", ids: []string{requestHex}, want: requestHex},
		{name: "none"},
		{name: "two", ids: []string{requestUUID, requestUUID}},
		{name: "too short", ids: []string{requestHex[1:]}},
		{name: "too long", ids: []string{requestHex + "0"}},
		{name: "markup", ids: []string{`"><script>alert(1)</script>`}},
		{name: "not hexadecimal", ids: []string{strings.Repeat("g", 32)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := getRequest()
			for _, id := range test.ids {
				r.Headers = append(r.Headers, authz.Header{Name: "x-request-id", Value: id})
			}
			id := requestID(r)
			got := string(id[:])
			if !random.MatchString(got) {
				t.Fatalf("got %q, want 32 hexadecimal digits", got)
			}
			if test.want != "" && got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.want == "" && requestID(r) == id {
				t.Errorf("got %q twice, want a new one each time", got)
			}
		})
	}
}

// A client must not be able to find out which access tokens exist, and the templates of a policy
// must not make a difference either.
func TestUnknownWrongExpiredAndDisabledLookAlike(t *testing.T) {
	t.Parallel()
	alike := []authz.Reason{
		authz.ReasonUnknownToken, authz.ReasonWrongSecret, authz.ReasonExpired, authz.ReasonNotYetValid,
		authz.ReasonDisabled, authz.ReasonMalformedRecord, authz.ReasonUnknownConsumer, authz.ReasonMalformedToken,
	}
	untold := ownDenials()
	untold.Unauthenticated.Message = ""
	for name, options := range map[string]authz.DenialOptions{"no options": {}, "all options": ownDenials(), "all but a message": untold} {
		for _, accept := range []string{"", "text/html", "application/xml", "text/plain"} {
			for _, contentType := range []string{"", "application/grpc"} {
				r := getRequest(
					authz.Header{Name: "accept", Value: accept}, authz.Header{Name: "content-type", Value: contentType},
					authz.Header{Name: "x-request-id", Value: requestUUID})
				var first []byte
				for _, reason := range alike {
					out := responded(t, r, ownDenial(t, options, reason))
					// Clients do not see the metadata.
					out.DynamicMetadata = nil
					data, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
					if err != nil {
						t.Fatal(err)
					}
					if first == nil {
						first = data
					}
					if diff := cmp.Diff(string(first), string(data)); diff != "" {
						t.Errorf("%s, accept %q, content-type %q: %s does not look like %s:\n%s", name, accept, contentType, reason, alike[0], diff)
					}
				}
			}
		}
	}
}

func TestDenialsOfBadCredentialsHaveTheChallengeOfTheAuthorizationScheme(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		scheme      authz.Scheme
		realm, want string
	}{
		{authz.SchemeNone, "", "VaultAuth"},
		{authz.SchemeNone, "shop", `VaultAuth realm="shop"`},
		{authz.SchemeBearer, "", "Bearer"},
		{authz.SchemeBearer, "shop", `Bearer realm="shop"`},
		{authz.SchemeBasic, "", `Basic realm="vault-authz"`},
		{authz.SchemeBasic, "shop", `Basic realm="shop"`},
	} {
		for _, reason := range authz.Reasons() {
			d := denyFor(reason)
			d.Policy.AuthorizationScheme, d.Policy.Realm = test.scheme, test.realm
			want := test.want
			if !d.Challenges() {
				want = ""
			}
			if got := denialHeader(responded(t, getRequest(), d), "www-authenticate"); got != want {
				t.Errorf("%s, scheme %s, realm %q: got www-authenticate %q, want %q", reason, test.scheme, test.realm, got, want)
			}
		}
	}
	if got := denialHeader(responded(t, getRequest(), authz.Decision{Reason: authz.ReasonMissingToken}), "www-authenticate"); got != "VaultAuth" {
		t.Errorf("without a policy: got www-authenticate %q", got)
	}
}

func TestDenialsToGRPCClientsAreOneLineOfText(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/grpc", "application/grpc+proto", "application/grpc-web"} {
		for _, reason := range authz.Reasons() {
			r := getRequest(authz.Header{Name: "content-type", Value: contentType}, authz.Header{Name: "accept", Value: "text/html"})
			out := responded(t, r, denyFor(reason))
			body := out.GetDeniedResponse().GetBody()
			if body == "" || len(body) > 100 || strings.ContainsAny(body, "\r\n{}<>") {
				t.Errorf("%s to %s: got body %q, want a short line of text", reason, contentType, body)
			}
			if got := denialHeader(out, "content-type"); got != "" {
				t.Errorf("%s to %s: got content-type %q, want Envoy's own", reason, contentType, got)
			}
		}
	}
}
