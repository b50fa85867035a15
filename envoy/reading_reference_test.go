package envoy

import (
	"cmp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/vault-authz/vault-authz/authz"
)

// readDecoded is the reference for the decoder: it converts a CheckRequest of the generated types to
// a Request.
func readDecoded(in *authv3.CheckRequest) authz.Request {
	attributes := in.GetAttributes()
	r := authz.Request{Source: address(attributes.GetSource().GetAddress())}
	r.PolicyName, r.NamesPolicy = attributes.GetContextExtensions()[policyExtension]
	_, r.Explain = attributes.GetContextExtensions()[explainExtension]
	h := attributes.GetRequest().GetHttp()
	if h == nil {
		return r
	}
	r.HTTP = true
	r.Method, r.Path, r.Host, r.Scheme = h.GetMethod(), h.GetPath(), h.GetHost(), h.GetScheme()
	r.Headers = decodedHeaders(h)
	if r.Body = h.GetRawBody(); len(r.Body) == 0 {
		r.Body = []byte(h.GetBody())
	}
	r.BodyPartial = incomplete(&r)
	return r
}

// decodedHeaders returns the headers from header_map (encode_raw_headers) or from headers.
func decodedHeaders(h *authv3.AttributeContext_HttpRequest) []authz.Header {
	if raw := h.GetHeaderMap().GetHeaders(); len(raw) > 0 {
		out := make([]authz.Header, 0, len(raw))
		for _, f := range raw {
			value := f.GetValue()
			if len(f.GetRawValue()) > 0 {
				value = string(f.GetRawValue())
			}
			out = appendHeader(out, f.GetKey(), value)
		}
		return out
	}
	out := make([]authz.Header, 0, len(h.GetHeaders()))
	for name, value := range h.GetHeaders() {
		out = appendHeader(out, name, value)
	}
	slices.SortFunc(out, func(a, b authz.Header) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	return out
}

func appendHeader(out []authz.Header, name, value string) []authz.Header {
	if strings.HasPrefix(name, ":") {
		return out
	}
	lower := strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, name)
	return append(out, authz.Header{Name: lower, Value: value})
}

func address(a *corev3.Address) string {
	if s := a.GetSocketAddress(); s != nil {
		return s.GetAddress()
	}
	return a.GetPipe().GetPath()
}
