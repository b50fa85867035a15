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

// denied writes what a denied client sees, into the field that says what the answer is.
// It costs no more than an allow: whoever is refused must not be a burden.
func (w *writer) denied(field int, r *authz.Request, d *authz.Decision) {
	w.metadata(d)
	end := w.mark()
	w.page(r, d)
	if d.Status() == http.StatusServiceUnavailable {
		w.header(deniedHeaders, "retry-after", retryAfter(d.RetryAfter))
	}
	if d.Challenges() {
		w.challenge(d)
	}
	w.httpStatus(d.Status())
	w.enclose(field, end)
	w.status(grpcCode(d.Status()), d.Message())
}

func (w *writer) challenge(d *authz.Decision) {
	scheme, realm := challengeOf(d)
	if realm == "" {
		w.header(deniedHeaders, "www-authenticate", scheme)
		return
	}
	w.header(deniedHeaders, "www-authenticate", scheme, ` realm="`, realm, `"`)
}

func challengeOf(d *authz.Decision) (scheme, realm string) {
	if d.Policy == nil {
		return challenge, ""
	}
	switch d.Policy.AuthorizationScheme {
	case authz.SchemeBearer:
		return "Bearer", d.Policy.Realm
	case authz.SchemeBasic:
		return "Basic", cmp.Or(d.Policy.Realm, basicRealm)
	default:
		return challenge, d.Policy.Realm
	}
}

// page writes the body, with its content type.
func (w *writer) page(r *authz.Request, d *authz.Decision) {
	if strings.HasPrefix(r.Header("content-type"), "application/grpc") {
		// Envoy answers a gRPC client with a status and makes the body its
		// message: one plain line.
		w.text(deniedBody, d.Message())
		return
	}
	f, id := negotiate(r.Header("accept")), requestID(r)
	d.RequestID = id
	end := w.mark()
	w.render(f, d.Status(), d.Message(), text(id[:]))
	w.enclose(deniedBody, end)
	w.header(deniedHeaders, "content-type", f.mediaType(), "; charset=utf-8")
}

// requestID returns an id as in Kong's errors: 32 hexadecimal digits. It is the id of the request
// if that is a UUID, so that the client, the gateway and the log have the same id.
func requestID(r *authz.Request) (id [32]byte) {
	if id, ok := authz.RequestID(r.Header("x-request-id")); ok {
		return id
	}
	return randomID()
}

func randomID() (id [32]byte) {
	var random [16]byte
	_, _ = rand.Read(random[:])
	hex.Encode(id[:], random[:])
	return id
}

// A format is a way to write a denial, as in Kong.
type format uint8

// The formats in the order of preference where a client has none.
const (
	formatJSON format = iota
	formatHTML
	formatXML
	formatText
	formatCount
)

func (f format) mediaType() string {
	return [formatCount]string{"application/json", "text/html", "application/xml", "text/plain"}[f]
}

// formatOf returns the format that a media range of an Accept header asks for.
func formatOf(mediaRange string) (f format, ok bool) {
	switch mediaRange {
	case "application/json", "application/*", "*/*":
		return formatJSON, true
	case "text/html", "text/*":
		return formatHTML, true
	case "application/xml":
		return formatXML, true
	case "text/plain":
		return formatText, true
	}
	return 0, false
}

// render writes the text of a denial.
func (w *writer) render(f format, status int, message, id string) {
	switch f {
	case formatHTML:
		title := http.StatusText(status)
		w.raw("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>", title, "</title>\n  </head>\n",
			"  <body>\n    <h1>", title, "</h1>\n    <p>", html.EscapeString(message), ".</p>\n    <p>request_id: ", id, "</p>\n  </body>\n</html>\n")
	case formatXML:
		w.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>", html.EscapeString(message), "</message>\n  <requestid>", id, "</requestid>\n</error>\n")
	case formatText:
		w.raw(message, "\nrequest_id: ", id, "\n")
	default:
		w.raw("{\n  \"message\":\"", escapedJSON(message), "\",\n  \"request_id\":\"", id, "\"\n}")
	}
}

// escapedJSON is what a string becomes between the quotes of JSON.
func escapedJSON(s string) string {
	for i := range len(s) {
		if c := s[i]; c != ' ' && c != '.' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			b, _ := json.Marshal(s) // a string is always encoded
			return text(b[1 : len(b)-1])
		}
	}
	return s
}
