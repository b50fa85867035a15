package envoy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/vault-authz/vault-authz/authz"
)

// respondGenerated is the reference for the writer: it writes a decision as the
// answer to Envoy with the generated types. The only error is the one
// that a policy with on_error: grpc_error asks for. If the answer would contain bytes that
// are invalid in a header, it returns a denial and replaces d by it.
func respondGenerated(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	out, err := answerGenerated(r, d)
	if errors.Is(err, errHeader) {
		*d = authz.Decision{
			Reason: authz.ReasonInternal, Policy: d.Policy, Matching: d.Matching, Consumer: d.Consumer, AccessToken: d.AccessToken,
			Places: d.Places, Lookup: d.Lookup, Reread: d.Reread, Err: err,
		}
		return deniedGenerated(r, d), nil
	}
	return out, err
}

func answerGenerated(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	switch {
	case d.Allowed:
		return allowedGenerated(r, d)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorGRPC:
		return nil, status.Error(codes.Unavailable, "credential store unavailable")
	case d.Challenges() && !isHeaderValue(challengeGenerated(d)):
		return nil, fmt.Errorf("%w: the challenge, by the policy's realm", errHeader)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorResponse:
		return failedGenerated(r, d), nil
	}
	return deniedGenerated(r, d), nil
}

func allowedGenerated(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{Headers: make([]*corev3.HeaderValueOption, 0, len(d.Upstream.Set)+1)}
	for _, h := range headersSet(&d.Upstream) {
		if !isHeaderName(h.Name) || !isHeaderValue(h.Value) {
			return nil, fmt.Errorf("%w: %q", errHeader, h.Name)
		}
		ok.Headers = append(ok.Headers, set(h.Name, h.Value))
	}
	var err error
	if ok.HeadersToRemove, err = removals(&d.Upstream); err != nil {
		return nil, err
	}
	// Envoy before 1.36.10, 1.37.6, 1.38.4 and 1.39.1 crashes on a change of the query of a
	// request without a path (CVE-2026-73547).
	if r.Method != http.MethodConnect && r.Path != "" {
		ok.QueryParametersToRemove = d.Upstream.RemoveQuery
	}
	if slices.ContainsFunc(ok.GetQueryParametersToRemove(), func(s string) bool { return !utf8.ValidString(s) }) {
		return nil, fmt.Errorf("%w: a query parameter that is to be removed is not UTF-8", errHeader)
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadataGenerated(d),
	}, nil
}

// headersSet lists the headers to set.
func headersSet(u *authz.Upstream) []authz.Header {
	if u.SetAlso.Name == "" {
		return u.Set
	}
	return append(slices.Clip(u.Set), u.SetAlso)
}

// removals lists the headers to remove, without those that are set: Envoy removes after it
// sets. A name that is invalid for Envoy is an error, because Envoy would ignore it and the
// header would reach the upstream.
func removals(u *authz.Upstream) ([]string, error) {
	out := make([]string, 0, len(u.Remove)+len(u.RemoveAlso))
	for _, names := range [][]string{u.Remove, u.RemoveAlso} {
		for _, name := range names {
			if !isHeaderName(name) {
				return nil, fmt.Errorf("%w: %q is to be removed", errHeader, name)
			}
			if !slices.ContainsFunc(headersSet(u), func(h authz.Header) bool { return h.Name == name }) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}

func deniedGenerated(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	page := newDenial(r, d)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(grpcCode(d.Status())), Message: d.Message()},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())},
			Headers: options(page.headers),
			Body:    page.body,
		}},
		DynamicMetadata: metadataGenerated(d),
	}
}

// failed returns an error, for which Envoy 1.37 and later decides by failure_mode_allow. For
// older versions it is a denial without a body, because the status is not OK and the field is
// unknown.
func failedGenerated(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	page := newDenial(r, d)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.Unavailable), Message: d.Message()},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())},
			Headers: options(page.headers),
			Body:    page.body,
		}},
		DynamicMetadata: metadataGenerated(d),
	}
}

// set returns a header that replaces all values of this name. If append is unset, Envoy 1.37
// uses append_action and would add to the header of the client. Other versions use append only.
func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		Append:       wrapperspb.Bool(false), //nolint:staticcheck // deprecated, and what most versions of Envoy go by
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func options(headers []authz.Header) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, h := range headers {
		out = append(out, set(h.Name, h.Value))
	}
	return out
}

// A denial is what a denied client sees.
type denial struct {
	headers []authz.Header
	body    string
}

func newDenial(r *authz.Request, d *authz.Decision) denial {
	out := denial{headers: make([]authz.Header, 0, 3)}
	if d.Challenges() {
		out.headers = append(out.headers, authz.Header{Name: "www-authenticate", Value: challengeGenerated(d)})
	}
	if d.Reason.Status() == http.StatusServiceUnavailable {
		out.headers = append(out.headers, authz.Header{Name: "retry-after", Value: "1"})
	}
	if strings.HasPrefix(r.Header("content-type"), "application/grpc") {
		// Envoy answers a gRPC client with a status and makes the body its
		// message: one plain line.
		out.body = d.Message()
		return out
	}
	var own authz.DenialOptions
	if hasOwnDenials(d) {
		own = d.Policy.Denial
		out.headers = append(out.headers, authz.Header{Name: "x-content-type-options", Value: "nosniff"}, authz.Header{Name: "cache-control", Value: "no-store"})
	}
	f, id := negotiate(r.Header("accept"), own.Body.JSONType), requestID(r)
	mediaType := f.mediaType()
	if f == formatJSON {
		mediaType = cmp.Or(own.Body.JSONType, mediaType)
	}
	out.headers = append(out.headers, authz.Header{Name: "content-type", Value: mediaType + "; charset=utf-8"})
	if template := []string{own.Body.JSON, own.Body.HTML, own.Body.XML, own.Body.Text}[f]; template != "" {
		out.body = filledIn(template, f, d, string(id[:]))
	} else {
		out.body = renderings()[f](d.Status(), d.Message(), string(id[:]))
	}
	return out
}

// filledIn replaces the fields of a template.
func filledIn(template string, f format, d *authz.Decision, id string) string {
	values := map[string]string{
		"class": d.Reason.Class().String(), "status": strconv.Itoa(d.Status()), "title": http.StatusText(d.Status()),
		"message": d.Message(), "request_id": id, "realm": d.Policy.Realm,
	}
	return regexp.MustCompile(`\{\{ *(\w+) *}}`).ReplaceAllStringFunc(template, func(field string) string {
		value := values[strings.Trim(field, "{ }")]
		if f == formatJSON {
			text := quoted(value)
			return text[1 : len(text)-1]
		}
		if f == formatText {
			return value
		}
		return html.EscapeString(value)
	})
}

func challengeGenerated(d *authz.Decision) string {
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
	var parameters []string
	if realm != "" {
		parameters = append(parameters, `realm="`+realm+`"`)
	}
	if hasOwnDenials(d) && d.Policy.Denial.Docs != "" {
		parameters = append(parameters, `docs="`+d.Policy.Denial.Docs+`"`)
	}
	return strings.TrimSpace(scheme + " " + strings.Join(parameters, ", "))
}

// renderings are by format.
func renderings() [formatCount]func(status int, message, id string) string {
	return [...]func(status int, message, id string) string{formatJSON: renderJSON, formatHTML: renderHTML, formatXML: renderXML, formatText: renderText}
}

func renderJSON(_ int, message, id string) string {
	return "{\n  \"message\":" + quoted(message) + ",\n  \"request_id\":\"" + id + "\"\n}"
}

// quoted is message in JSON.
func quoted(message string) string {
	b, _ := json.Marshal(message) // a string is always encoded
	return string(b)
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
