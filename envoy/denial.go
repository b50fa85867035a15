package envoy

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// challenge is the scheme in WWW-Authenticate. RFC 9110 asks for one with every
// 401; for a pair of tokens under names of the operator's choice none is
// registered, so it carries the product's own name.
const challenge = "VaultAuth"

// A denial is what a denied client sees.
type denial struct {
	headers []authz.Header
	body    string
}

func newDenial(r *authz.Request, d *authz.Decision) denial {
	var out denial
	if d.Challenges() {
		out.headers = append(out.headers, authz.Header{Name: "www-authenticate", Value: challengeFor(d)})
	}
	if d.Status() == http.StatusServiceUnavailable {
		out.headers = append(out.headers, authz.Header{Name: "retry-after", Value: retryAfter(d.RetryAfter)})
	}
	if strings.HasPrefix(r.Header("content-type"), "application/grpc") {
		// Envoy answers a gRPC client with a status and makes the body its
		// message: one plain line.
		out.body = d.Message()
		return out
	}
	f := negotiate(r.Header("accept"))
	out.headers = append(out.headers, authz.Header{Name: "content-type", Value: f.contentType})
	out.body = f.render(d.Status(), d.Message(), requestID(r))
	return out
}

func challengeFor(d *authz.Decision) string {
	if d.Policy == nil || d.Policy.Realm == "" {
		return challenge
	}
	return challenge + ` realm="` + d.Policy.Realm + `"`
}

// requestID is what Kong puts into its errors: 32 hexadecimal digits. It is the
// request's own id where that has the form of a UUID, so that client, gateway
// and log speak of the same one.
func requestID(r *authz.Request) string {
	id := strings.ToLower(strings.ReplaceAll(r.Header("x-request-id"), "-", ""))
	if _, err := hex.DecodeString(id); err == nil && len(id) == 32 {
		return id
	}
	var random [16]byte
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// A format is a way to write a denial, as in Kong.
type format struct {
	mediaType, contentType string
	render                 func(status int, message, id string) string
}

// formats are in the order of preference where a client has none.
func formats() [4]format {
	return [...]format{
		{"application/json", "application/json; charset=utf-8", renderJSON},
		{"text/html", "text/html; charset=utf-8", renderHTML},
		{"application/xml", "application/xml; charset=utf-8", renderXML},
		{"text/plain", "text/plain; charset=utf-8", renderText},
	}
}

func renderJSON(_ int, message, id string) string {
	quoted, _ := json.Marshal(message)
	return fmt.Sprintf("{\n  \"message\":%s,\n  \"request_id\":\"%s\"\n}", quoted, id)
}

func renderHTML(status int, message, id string) string {
	title := http.StatusText(status)
	return fmt.Sprintf("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>%s</title>\n  </head>\n"+
		"  <body>\n    <h1>%s</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  </body>\n</html>\n",
		title, title, html.EscapeString(message), id)
}

func renderXML(_ int, message, id string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n  <requestid>%s</requestid>\n</error>\n",
		html.EscapeString(message), id)
}

func renderText(_ int, message, id string) string {
	return fmt.Sprintf("%s\nrequest_id: %s\n", message, id)
}
