package authz

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
	partType = "multipart/form-data; boundary=B"
)

func multipartBody(parts ...string) string {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--B\r\nContent-Disposition: form-data; name=\"" + parts[i] + "\"\r\n\r\n" + parts[i+1] + "\r\n")
	}
	return b.String() + "--B--\r\n"
}

func TestTokensAreFoundInABodyOnlyWhereItIsAllowedAndWhole(t *testing.T) {
	t.Parallel()
	const form = "access_token=foo&secret_token=supersecretvalue"
	const pair = `{"access_token":"foo","secret_token":"supersecretvalue"}`
	tests := []struct {
		name, contentType, body string
		target                  string
		headers                 []string
		partial                 bool
		want                    Reason
	}{
		{name: "form", contentType: formType, body: "a=1&access_token=foo&secret_token=supersecretvalue", want: ReasonAuthenticated},
		{name: "form with a charset", contentType: formType + "; charset=utf-8", body: "access_token=foo&secret_token=supersecretvalue", want: ReasonAuthenticated},
		{name: "form with dashes", contentType: formType, body: "access-token=foo&secret-token=supersecretvalue", want: ReasonAuthenticated},
		{name: "form with a repeated token", contentType: formType, body: "access_token=foo&access_token=foo&secret_token=supersecretvalue", want: ReasonDuplicateToken},
		{name: "form names are case-sensitive", contentType: formType, body: "Access_Token=foo&secret_token=supersecretvalue", want: ReasonMissingToken},
		{name: "form field in brackets is another", contentType: formType, body: "access_token[]=foo&secret_token=supersecretvalue", want: ReasonMissingToken},
		{name: "JSON", contentType: jsonType, body: pair, want: ReasonAuthenticated},
		{name: "JSON with other fields", contentType: jsonType, body: `{"x":{"access_token":"no","y":[1,{"z":2}]},"access_token":"foo","secret_token":"supersecretvalue","n":null}`, want: ReasonAuthenticated},
		{name: "JSON with an escaped name", contentType: jsonType, body: `{"\u0061ccess_token":"foo","secret_token":"supersecretvalue"}`, want: ReasonAuthenticated},
		{name: "JSON with a repeated field", contentType: jsonType, body: `{"access_token":"foo","access_token":"foo","secret_token":"supersecretvalue"}`, want: ReasonDuplicateToken},
		{name: "JSON with a repeated field of two types", contentType: jsonType, body: `{"access_token":1,"access_token":"foo","secret_token":"supersecretvalue"}`, want: ReasonDuplicateToken},
		{name: "JSON with a list", contentType: jsonType, body: `{"access_token":["foo"],"secret_token":"supersecretvalue"}`, want: ReasonDuplicateToken},
		{name: "JSON with a number", contentType: jsonType, body: `{"access_token":1,"secret_token":"supersecretvalue"}`, want: ReasonMissingToken},
		{name: "JSON with nested tokens only", contentType: jsonType, body: `{"x":` + pair + `}`, want: ReasonMissingToken},
		{name: "JSON that ends early", contentType: jsonType, body: pair[:len(pair)-1], want: ReasonMissingToken},
		{name: "JSON with more behind it", contentType: jsonType, body: pair + pair, want: ReasonMissingToken},
		{name: "JSON list of names and values", contentType: jsonType, body: `["access_token","foo","secret_token","supersecretvalue"]`, want: ReasonMissingToken},
		{name: "JSON list", contentType: jsonType, body: "[" + pair + "]", want: ReasonMissingToken},
		{name: "JSON nested without end", contentType: jsonType, body: `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "," + pair[1:], want: ReasonMissingToken},
		{name: "multipart", contentType: partType, body: multipartBody("access_token", "foo", "x", "1", "secret_token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "multipart with a repeated part", contentType: partType, body: multipartBody("access_token", "foo", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken},
		{name: "multipart that ends early", contentType: partType, body: strings.TrimSuffix(multipartBody("access_token", "foo", "secret_token", "supersecretvalue"), "--B--\r\n"), want: ReasonMissingToken},
		{name: "multipart with a file", contentType: partType, body: strings.Replace(multipartBody("access_token", "foo", "secret_token", "supersecretvalue"), `"access_token"`, `"access_token"; filename="f"`, 1), want: ReasonMalformedToken},
		{name: "other type", contentType: "text/plain", body: pair, want: ReasonMissingToken},
		{name: "type that only begins like JSON", contentType: "application/json-patch+json", body: pair, want: ReasonMissingToken},
		{name: "no type", body: pair, want: ReasonMissingToken},
		{name: "incomplete", contentType: jsonType, body: pair, partial: true, want: ReasonMissingToken},
		{name: "compressed", contentType: jsonType, body: pair, headers: []string{"content-encoding", "gzip"}, want: ReasonMissingToken},
		{name: "compressed twice", contentType: jsonType, body: pair, headers: []string{"content-encoding", "identity", "content-encoding", "gzip"}, want: ReasonMissingToken},
		{name: "as long as is searched", contentType: formType, body: form + "&x=" + strings.Repeat("x", maxBodyLength-len(form)-3), want: ReasonAuthenticated},
		{name: "longer by a byte", contentType: formType, body: form + "&x=" + strings.Repeat("x", maxBodyLength-len(form)-2), want: ReasonMissingToken},
		{name: "form with as many fields as are searched", contentType: formType, body: form + strings.Repeat("&x", maxBodyParameters-2), want: ReasonAuthenticated},
		{name: "form with one more", contentType: formType, body: form + strings.Repeat("&x", maxBodyParameters-1), want: ReasonMissingToken},
		{name: "JSON with as many fields as are searched", contentType: jsonType, body: pair[:len(pair)-1] + strings.Repeat(`,"x":0`, maxBodyParameters-2) + "}", want: ReasonAuthenticated},
		{name: "JSON with one more", contentType: jsonType, body: pair[:len(pair)-1] + strings.Repeat(`,"x":0`, maxBodyParameters-1) + "}", want: ReasonMissingToken},
		{name: "JSON as deep as is searched", contentType: jsonType, body: `{"x":` + strings.Repeat("[", maxBodyDepth-1) + strings.Repeat("]", maxBodyDepth-1) + "," + pair[1:], want: ReasonAuthenticated},
		{name: "JSON deeper by one", contentType: jsonType, body: `{"x":` + strings.Repeat("[", maxBodyDepth) + strings.Repeat("]", maxBodyDepth) + "," + pair[1:], want: ReasonMissingToken},
		{name: "JSON with many lists beside each other", contentType: jsonType, body: `{"x":[` + strings.Repeat("[{}],", maxBodyDepth) + "0]," + pair[1:], want: ReasonAuthenticated},
		{name: "JSON with an object for a token", contentType: jsonType, body: `{"access_token":{"a":1},"secret_token":"supersecretvalue"}`, want: ReasonDuplicateToken},
		{name: "JSON with a field that is no value", contentType: jsonType, body: pair[:len(pair)-1] + `,"x":}`, want: ReasonMissingToken},
		{name: "JSON with a field without a name", contentType: jsonType, body: pair[:len(pair)-1] + `,1:2}`, want: ReasonMissingToken},
		{name: "multipart with as many parts as are searched", contentType: partType, body: multipartBody(append(slices.Repeat([]string{"x", "1"}, maxBodyParameters-3), "access_token", "foo", "secret_token", "supersecretvalue")...), want: ReasonAuthenticated},
		{name: "multipart with more", contentType: partType, body: multipartBody(append(slices.Repeat([]string{"x", "1"}, maxBodyParameters-2), "access_token", "foo", "secret_token", "supersecretvalue")...), want: ReasonMissingToken},
		{name: "multipart without a boundary", contentType: "multipart/form-data", body: multipartBody("access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonMissingToken},
		{name: "multipart with an encoded part", contentType: partType, body: strings.Replace(multipartBody("access_token", "foo", "secret_token", "supersecretvalue"), "\r\n\r\nfoo", "\r\nContent-Transfer-Encoding: base64\r\n\r\nfoo", 1), want: ReasonMalformedToken},
		{name: "multipart with more behind it that is none", contentType: partType, body: strings.TrimSuffix(multipartBody("access_token", "foo", "secret_token", "supersecretvalue"), "--\r\n") + "\r\nno header\r\n\r\n", want: ReasonMissingToken},
		{name: "multipart that ends early, with the other token in a header", contentType: partType, body: strings.TrimSuffix(multipartBody("access_token", "foo", "secret_token", "other"), "\r\n--B--\r\n"), headers: []string{"secret_token", "supersecretvalue"}, want: ReasonMissingToken},
		{name: "multipart with a part that ends early", contentType: partType, body: strings.TrimSuffix(multipartBody("secret_token", "supersecretvalue", "access_token", "foo"), "\r\n--B--\r\n"), want: ReasonMissingToken},
		{name: "empty", contentType: formType, want: ReasonMissingToken},
		{name: "longer than is searched", contentType: jsonType, body: pair[:1] + `"x":"` + strings.Repeat("x", maxBodyLength) + `",` + pair[1:], want: ReasonMissingToken},
		{name: "JSON with more fields than are searched", contentType: jsonType, body: pair[:1] + strings.Repeat(`"x":0,`, maxBodyParameters) + pair[1:], want: ReasonMissingToken},
		{name: "JSON with brackets in strings", contentType: jsonType, body: `{"x":"` + strings.Repeat(`[{\"`, 100) + `",` + pair[1:], want: ReasonAuthenticated},
		{name: "not compressed by name", contentType: jsonType, body: pair, headers: []string{"content-encoding", "identity"}, want: ReasonAuthenticated},
		{name: "header wins over the body", contentType: jsonType, body: `{"access_token":"other","secret_token":"supersecretvalue"}`, headers: []string{"access_token", "foo"}, want: ReasonAuthenticated},
		{name: "query name without a value leaves it to the body", contentType: jsonType, body: pair, target: "/?access_token&secret_token", want: ReasonAuthenticated},
		{name: "query name without a value twice does not", contentType: jsonType, body: pair, target: "/?access_token&access_token", want: ReasonDuplicateToken},
		{name: "bad header is not mended by the body", contentType: jsonType, body: pair, headers: []string{"secret_token", "x"}, want: ReasonWrongSecret},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := get(cmp.Or(test.target, "/"), test.headers...)
			r.Method, r.Body, r.BodyPartial = "POST", []byte(test.body), test.partial
			if test.contentType != "" {
				r.Headers = append(r.Headers, Header{"content-type", test.contentType})
			}
			inBody := func(p *Policy) { p.TokensInBody, p.BodyCredentialsVisible = true, true }
			if d := newBench(t, inBody).Check(t.Context(), r); d.Reason != test.want {
				t.Errorf("got %s, want %s", d.Reason, test.want)
			}
			off := newBench(t, nil)
			if d := off.Check(t.Context(), r); d.Allowed {
				t.Errorf("tokens_in_body off: allowed")
			}
		})
	}
}
