package envoy

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// challenge is the scheme in WWW-Authenticate, which RFC 9110 requires with every 401. No scheme
// is registered for a pair of tokens with configurable names, so it is a name of our own.
const challenge = "VaultAuth"

// basicRealm is the realm of a policy without one, because RFC 7617 requires a realm.
const basicRealm = "vault-authz"

// A denial is the response to a denied client.
type denial struct {
	headers []authz.Header
	body    string
}

func newDenial(r *authz.Request, d *authz.Decision) denial {
	out := denial{headers: make([]authz.Header, 0, 3)}
	if d.Challenges() {
		out.headers = append(out.headers, authz.Header{Name: "www-authenticate", Value: challengeFor(d)})
	}
	if d.Status() == http.StatusServiceUnavailable {
		out.headers = append(out.headers, authz.Header{Name: "retry-after", Value: retryAfter(d.RetryAfter)})
	}
	if strings.HasPrefix(r.Header("content-type"), "application/grpc") {
		// Envoy answers a gRPC client with a status whose message is the body, so it is
		// a single line of text.
		out.body = d.Message()
		return out
	}
	f, id := negotiate(r.Header("accept")), requestID(r)
	out.headers = append(out.headers, authz.Header{Name: "content-type", Value: f.contentType})
	out.body = f.render(d.Status(), d.Message(), text(id[:]))
	return out
}

func challengeFor(d *authz.Decision) string {
	if d.Policy == nil {
		return challenge
	}
	scheme, realm := challenge, d.Policy.Realm
	switch d.Policy.AuthorizationScheme {
	case authz.SchemeBearer:
		scheme = "Bearer"
	case authz.SchemeBasic:
		scheme, realm = "Basic", cmp.Or(realm, basicRealm)
	case authz.SchemeNone:
	}
	if realm == "" {
		return scheme
	}
	return scheme + ` realm="` + realm + `"`
}

// requestID returns an id as in Kong's errors: 32 hexadecimal digits. It is the id of the request
// if that is a UUID, so that the client, the gateway and the log have the same id.
func requestID(r *authz.Request) (id [32]byte) {
	digits := 0
	for _, c := range []byte(r.Header("x-request-id")) {
		switch {
		case c == '-':
			continue
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		case c < '0' || c > '9' && (c < 'a' || c > 'f'):
			return randomID()
		}
		if digits == len(id) {
			return randomID()
		}
		id[digits] = c
		digits++
	}
	if digits < len(id) {
		return randomID()
	}
	return id
}

func randomID() (id [32]byte) {
	var random [16]byte
	_, _ = rand.Read(random[:])
	hex.Encode(id[:], random[:])
	return id
}

// A format is a format of a denial, as in Kong.
type format struct {
	mediaType, contentType string
	render                 func(status int, message, id string) string
}

// formats are in the order of preference for clients without one.
func formats() [4]format {
	return [...]format{
		{"application/json", "application/json; charset=utf-8", renderJSON},
		{"text/html", "text/html; charset=utf-8", renderHTML},
		{"application/xml", "application/xml; charset=utf-8", renderXML},
		{"text/plain", "text/plain; charset=utf-8", renderText},
	}
}

func renderJSON(_ int, message, id string) string {
	return "{\n  \"message\":" + quoted(message) + ",\n  \"request_id\":\"" + id + "\"\n}"
}

// quoted returns a message as a JSON string.
func quoted(message string) string {
	b, _ := json.Marshal(message) // strings never fail
	return text(b)
}

func renderHTML(status int, message, id string) string {
	title := http.StatusText(status)
	return "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>" + title + "</title>\n  </head>\n" +
		"  <body>\n    <h1>" + title + "</h1>\n    <p>" + html.EscapeString(message) + ".</p>\n    <p>request_id: " + id + "</p>\n  </body>\n</html>\n"
}

func renderXML(_ int, message, id string) string {
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>" + html.EscapeString(message) + "</message>\n  <requestid>" + id + "</requestid>\n</error>\n"
}

func renderText(_ int, message, id string) string {
	return message + "\nrequest_id: " + id + "\n"
}
