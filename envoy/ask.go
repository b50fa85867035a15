package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/vault-authz/vault-authz/authz"
)

// A Question is an HTTP request about which a running service is asked.
type Question struct {
	Method, URL string
	// Headers are in order; names may be in any case and repeated.
	Headers []authz.Header
	Body    []byte
	// Policy is the policy that the route names.
	Policy string
	// Explain asks for all policies that match.
	Explain bool
	// RawHeaders sends the headers as Envoy does with encode_raw_headers: repeated headers
	// stay separate. Otherwise they are joined with commas.
	RawHeaders bool
}

// An Answer is the answer of the service in terms of HTTP.
type Answer struct {
	Allowed bool `json:"allowed"`
	// Error says that the service reported an error, for which failure_mode_allow of the
	// gateway decides.
	Error bool `json:"error,omitempty"`
	// Status, Headers and Body are the response to a denied client.
	Status  int            `json:"status,omitempty"`
	Headers []authz.Header `json:"headers,omitempty"`
	Body    string         `json:"body,omitempty"`
	Reason  string         `json:"reason"`
	Policy  string         `json:"policy,omitempty"`
	// Matching are the policies that match by host and path, in order of precedence. They
	// are only set after a Question with Explain.
	Matching []string `json:"matching,omitempty"`
	// Set, Remove and RemoveQuery are the changes to an allowed request.
	Set         []authz.Header `json:"set,omitempty"`
	Remove      []string       `json:"remove,omitempty"`
	RemoveQuery []string       `json:"remove_query,omitempty"`
}

// Ask asks the service behind conn about a request, as Envoy does.
func Ask(ctx context.Context, conn grpc.ClientConnInterface, q Question) (Answer, error) {
	in, err := q.request()
	if err != nil {
		return Answer{}, err
	}
	out, err := authv3.NewAuthorizationClient(conn).Check(ctx, in)
	if err != nil {
		return Answer{}, err
	}
	return newAnswer(out), nil
}

// JSON returns the question as the JSON form of a CheckRequest, for grpcurl.
func (q Question) JSON() ([]byte, error) {
	in, err := q.request()
	if err != nil {
		return nil, err
	}
	data, err := protojson.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("writing the question as JSON: %w", err)
	}
	// The white space of protojson differs from build to build.
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return nil, fmt.Errorf("writing the question as JSON: %w", err)
	}
	return out.Bytes(), nil
}

func (q Question) request() (*authv3.CheckRequest, error) {
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the URL must begin with http:// or https:// and a host")
	}
	h := &authv3.AttributeContext_HttpRequest{
		Method: q.Method, Path: u.RequestURI(), Host: u.Host, Scheme: u.Scheme, Protocol: "HTTP/1.1", Size: int64(len(q.Body)),
	}
	fields := make([]authz.Header, 0, len(q.Headers)+2)
	for _, f := range q.Headers {
		switch name := strings.ToLower(f.Name); name {
		case "host":
			// As with curl -H it replaces the host of the URL. Envoy has it only as a
			// field, not as a header.
			h.Host = f.Value
		case partialBody, "content-length":
			// Envoy drops the one, and no body of another length gets to it.
		default:
			fields = append(fields, authz.Header{Name: name, Value: f.Value})
		}
	}
	if q.Body != nil {
		fields = append(fields,
			authz.Header{Name: "content-length", Value: strconv.Itoa(len(q.Body))},
			authz.Header{Name: partialBody, Value: "false"})
		h.RawBody = q.Body
	}
	if q.RawHeaders {
		h.HeaderMap = rawHeaders(fields)
	} else {
		h.Headers = joinedHeaders(fields)
	}
	in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}}}
	in.Attributes.ContextExtensions = map[string]string{}
	if q.Policy != "" {
		in.Attributes.ContextExtensions[policyExtension] = q.Policy
	}
	if q.Explain {
		in.Attributes.ContextExtensions[explainExtension] = "policies"
	}
	return in, nil
}

func rawHeaders(fields []authz.Header) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for _, f := range fields {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: f.Name, RawValue: []byte(f.Value)})
	}
	return m
}

func joinedHeaders(fields []authz.Header) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		value := sanitized(f.Value)
		if before, ok := m[f.Name]; ok {
			value = before + "," + value
		}
		m[f.Name] = value
	}
	return m
}

// sanitized replaces each byte that is not UTF-8 by "!", as Envoy does everywhere except in
// header_map and raw_body.
func sanitized(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			b.WriteByte('!')
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func newAnswer(out *authv3.CheckResponse) Answer {
	meta := out.GetDynamicMetadata().GetFields()
	a := Answer{
		Allowed: out.GetStatus().GetCode() == 0,
		Reason:  meta[metaReason].GetStringValue(),
		Policy:  meta[metaPolicy].GetStringValue(),
	}
	for _, name := range meta[metaMatching].GetListValue().GetValues() {
		a.Matching = append(a.Matching, name.GetStringValue())
	}
	if a.Allowed {
		ok := out.GetOkResponse()
		a.Set, a.Remove, a.RemoveQuery = plainHeaders(ok.GetHeaders()), ok.GetHeadersToRemove(), ok.GetQueryParametersToRemove()
		return a
	}
	d := out.GetDeniedResponse()
	if e := out.GetErrorResponse(); e != nil {
		a.Error, d = true, e
	}
	a.Status, a.Headers, a.Body = int(d.GetStatus().GetCode()), plainHeaders(d.GetHeaders()), d.GetBody()
	return a
}

func plainHeaders(options []*corev3.HeaderValueOption) []authz.Header {
	out := make([]authz.Header, 0, len(options))
	for _, o := range options {
		out = append(out, authz.Header{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetValue()})
	}
	return out
}
