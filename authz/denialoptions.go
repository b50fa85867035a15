package authz

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DenialOptions say how a policy answers a client that it denies. The zero value leaves each
// denial as it is for all policies.
type DenialOptions struct {
	// Unauthenticated, Forbidden and Unavailable are for the classes of these names.
	Unauthenticated, Forbidden, Unavailable DenialAnswer
	// Body has the templates of the bodies, for every class.
	Body DenialBody
	// Docs is the URL of a page about the credentials, for WWW-Authenticate.
	Docs string
}

// A DenialAnswer is what all denials of one class have in common.
type DenialAnswer struct {
	// Status is the HTTP status, 0 for that of the reason.
	Status int
	// Message is the text that a client sees. If it is empty, it is that of the reason, or
	// the phrase of Status if that differs from the reason's.
	Message string
}

// A DenialBody has a template, see [Template], for each format. A body without a template has
// the form that it has for all policies.
type DenialBody struct {
	JSON, HTML, XML, Text string
	// JSONType is the media type of JSON, application/json if it is empty.
	JSONType string
}

// A DenialClass is what a client may know of a [Reason]: the reasons of a class differ in
// nothing that this service answers, but for the three messages of 401 where a policy gives no
// message of its own.
type DenialClass uint8

// The classes. The zero DenialClass is that of the zero Reason.
const (
	ClassForbidden DenialClass = iota
	ClassUnauthenticated
	ClassUnavailable
	// ClassBadRequest and ClassInternal cannot be changed: no policy governs a request whose
	// path or host is ambiguous, and what is broken here is not the operator's to disguise.
	ClassBadRequest
	ClassInternal

	classCount
)

// String returns the name of the class in bodies.
func (c DenialClass) String() string {
	if c >= classCount {
		c = ClassForbidden
	}
	return [classCount]string{"forbidden", "unauthenticated", "unavailable", "bad_request", "internal"}[c]
}

// Class returns the class of a denial for this reason.
func (r Reason) Class() DenialClass {
	switch r.Status() {
	case http.StatusUnauthorized:
		return ClassUnauthenticated
	case http.StatusServiceUnavailable:
		return ClassUnavailable
	case http.StatusBadRequest:
		return ClassBadRequest
	case http.StatusInternalServerError:
		return ClassInternal
	}
	return ClassForbidden
}

// answer returns the answer for a class, nil for one that cannot be changed.
func (o *DenialOptions) answer(c DenialClass) *DenialAnswer {
	switch c { //nolint:exhaustive // the others cannot be changed
	case ClassUnauthenticated:
		return &o.Unauthenticated
	case ClassForbidden:
		return &o.Forbidden
	case ClassUnavailable:
		return &o.Unavailable
	}
	return nil
}

const (
	maxDenialMessage = 200
	maxDocs          = 512
)

// deniedStatuses are the statuses that a class may have. A status tells the client what to do
// next, so it stays with its kind: another credential or none at all (4xx), or the same request
// later. One below 400 would count as a success, be followed or be cached.
func deniedStatuses(c DenialClass) []int {
	switch c { //nolint:exhaustive // the others cannot be changed
	case ClassUnauthenticated:
		return []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	case ClassForbidden:
		return []int{http.StatusForbidden, http.StatusNotFound}
	case ClassUnavailable:
		return []int{http.StatusServiceUnavailable, http.StatusTooManyRequests}
	}
	return nil
}

// validateDenial reports the mistakes in Denial.
func (p *Policy) validateDenial() error {
	o := &p.Denial
	if *o == (DenialOptions{}) {
		return nil
	}
	errs := []error{o.Body.validate(p.Realm), validateDocs(o.Docs)}
	for _, c := range []DenialClass{ClassUnauthenticated, ClassForbidden, ClassUnavailable} {
		errs = append(errs, o.answer(c).validate(c))
	}
	if s := o.Unauthenticated.Status; o.Docs != "" && s != 0 && s != http.StatusUnauthorized {
		errs = append(errs, fmt.Errorf("denial.docs: it is a part of WWW-Authenticate, which only a 401 has; remove it, or let denial.unauthenticated.status be 401 instead of %d", s))
	}
	if o.Unavailable != (DenialAnswer{}) && p.OnError == OnErrorGRPC {
		errs = append(errs, errors.New("denial.unavailable: with on_error: grpc_error Envoy answers instead of this service; remove denial.unavailable, or choose another on_error"))
	}
	return errors.Join(errs...)
}

func (a *DenialAnswer) validate(c DenialClass) error {
	var errs []error
	if allowed := deniedStatuses(c); a.Status != 0 && !slices.Contains(allowed, a.Status) {
		texts := make([]string, len(allowed))
		for i, status := range allowed {
			texts[i] = strconv.Itoa(status)
		}
		errs = append(errs, fmt.Errorf("denial.%s.status: %d is not one of %s", c, a.Status, strings.Join(texts, ", ")))
	}
	field := fmt.Sprintf("denial.%s.message", c)
	switch {
	case len(a.Message) > maxDenialMessage:
		errs = append(errs, fmt.Errorf("%s: longer than %d bytes", field, maxDenialMessage))
	case strings.ContainsAny(a.Message, notInXML):
		errs = append(errs, fmt.Errorf("%s: %q has a character that XML cannot have", field, a.Message))
	default:
		// It is in a header where the client speaks gRPC.
		errs = append(errs, headerSafe(field, a.Message))
	}
	return errors.Join(errs...)
}

// notInXML are the characters that no document can have, besides control characters.
const notInXML = "\uFFFE\uFFFF"

func (b *DenialBody) validate(realm string) error {
	errs := []error{
		validateTemplate("denial.body.json", b.JSON, realm, isJSON),
		validateTemplate("denial.body.html", b.HTML, realm, nil),
		validateTemplate("denial.body.xml", b.XML, realm, isXML),
		validateTemplate("denial.body.text", b.Text, realm, nil),
	}
	if b.XML != "" && strings.ContainsAny(realm, notInXML) {
		errs = append(errs, fmt.Errorf("realm: %q has a character that XML cannot have", realm))
	}
	switch {
	case b.JSONType == "":
	case b.JSON == "":
		errs = append(errs, errors.New("denial.body.json_type: it is the type of denial.body.json, which is not given; add that, or remove json_type"))
	case !isJSONType(b.JSONType):
		errs = append(errs, fmt.Errorf("denial.body.json_type: %q is neither application/json nor a type like application/problem+json", b.JSONType))
	}
	return errors.Join(errs...)
}

// isJSONType says whether a media type is JSON by its name (RFC 6839).
func isJSONType(mediaType string) bool {
	name, is := strings.CutPrefix(mediaType, "application/")
	if !is || len(mediaType) > 64 {
		return false
	}
	if name == "json" {
		return true
	}
	kind, is := strings.CutSuffix(name, "+json")
	return is && kind != "" && !strings.ContainsFunc(kind, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-'
	})
}

func validateDocs(docs string) error {
	if docs == "" {
		return nil
	}
	u, err := url.Parse(docs)
	odd := strings.ContainsFunc(docs, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' })
	switch {
	case len(docs) > maxDocs:
		return fmt.Errorf("denial.docs: longer than %d bytes", maxDocs)
	case err != nil, odd, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil:
		return fmt.Errorf("denial.docs: %q is not a URL like https://developer.example.com/keys, with every other character than plain ASCII percent-encoded, and without a user", docs)
	}
	return nil
}
