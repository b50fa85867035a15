package envoy

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// challenge is the scheme in WWW-Authenticate, which RFC 9110 requires with every 401. No scheme
// is registered for a pair of tokens with configurable names, so it is a name of our own.
const challenge = "VaultAuth"

// basicRealm is the realm of a policy without one, because RFC 7617 requires a realm.
const basicRealm = "vault-authz"

// retryAfter is the value of Retry-After, in seconds.
const retryAfter = "1"

// denied writes what a denied client sees, into the field that says what the answer is.
// It costs no more than an allow: a client that is denied must not be a burden.
func (w *writer) denied(field int, r *authz.Request, d *authz.Decision) {
	w.metadata(d)
	end := w.mark()
	w.page(r, d)
	if d.Reason.Class() == authz.ClassUnavailable {
		w.header(deniedHeaders, "retry-after", retryAfter)
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
	docs := ""
	if hasOwnDenials(d) {
		docs = d.Policy.Denial.Docs
	}
	switch {
	case docs != "" && realm != "":
		w.header(deniedHeaders, "www-authenticate", scheme, ` realm="`, realm, `", docs="`, docs, `"`)
	case docs != "":
		w.header(deniedHeaders, "www-authenticate", scheme, ` docs="`, docs, `"`)
	case realm != "":
		w.header(deniedHeaders, "www-authenticate", scheme, ` realm="`, realm, `"`)
	default:
		w.header(deniedHeaders, "www-authenticate", scheme)
	}
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
	own, jsonType := hasOwnDenials(d), ""
	if own {
		jsonType = d.Policy.Denial.Body.JSONType
	}
	f, id := negotiate(r.Header("accept"), jsonType), requestID(r)
	d.RequestID = id
	end := w.mark()
	var t authz.Template
	if own {
		t = templateOf(d, f)
	}
	if t != nil {
		w.fill(t, f, d, text(id[:]))
	} else {
		w.render(f, d.Status(), d.Message(), text(id[:]))
	}
	w.enclose(deniedBody, end)
	mediaType := f.mediaType()
	if f == formatJSON {
		mediaType = cmp.Or(jsonType, mediaType)
	}
	w.header(deniedHeaders, "content-type", mediaType, "; charset=utf-8")
	if own {
		// A cache may keep a 404 for others without asking (RFC 9111, section 4.2.2).
		w.header(deniedHeaders, "cache-control", "no-store")
		w.header(deniedHeaders, "x-content-type-options", "nosniff")
	}
}

// hasOwnDenials says whether the policy of a denial has answers of its own.
func hasOwnDenials(d *authz.Decision) bool { return d.Policy != nil && d.Policy.Templates != nil }

// templateOf returns the template for a format, nil if there is none. The policy has answers of
// its own.
func templateOf(d *authz.Decision, f format) authz.Template {
	t := d.Policy.Templates
	return [formatCount]authz.Template{t.JSON, t.HTML, t.XML, t.Text}[f]
}

// fill writes a template with the values of a denial.
func (w *writer) fill(t authz.Template, f format, d *authz.Decision, id string) {
	for i := len(t) - 1; i >= 0; i-- {
		switch t[i].Field {
		case authz.FieldClass:
			w.raw(d.Reason.Class().String())
		case authz.FieldStatus:
			strconv.AppendInt(w.room(statusDigits)[:0], int64(d.Status()), 10)
		case authz.FieldTitle:
			w.raw(escaped(f, http.StatusText(d.Status())))
		case authz.FieldMessage:
			w.raw(escaped(f, d.Message()))
		case authz.FieldRequestID:
			w.raw(id)
		case authz.FieldRealm:
			// Valid already, and an answer in which it is not would fail.
			w.raw(escaped(f, strings.ToValidUTF8(d.Policy.Realm, "\uFFFD")))
		case authz.FieldNone:
		}
		w.raw(t[i].Literal)
	}
}

// statusDigits is how many digits a status has.
const statusDigits = 3

// escaped is a text as it is written in a format.
func escaped(f format, s string) string {
	switch f {
	case formatText:
		return s
	case formatHTML, formatXML:
		return html.EscapeString(s)
	case formatJSON, formatCount:
	}
	return escapedJSON(s)
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
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, _ := json.Marshal(s) // a string is always encoded
			return text(b[1 : len(b)-1])
		}
	}
	return s
}
