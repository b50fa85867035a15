package envoy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
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

// respondGenerated is what the writer is held to: it writes a decision as the
// answer to Envoy with the generated types. The only error is the one
// that a policy with on_error: grpc_error asks for. An answer that would carry
// bytes that no header may have denies instead, and d becomes that denial: what
// is logged and counted is what was answered.
func respondGenerated(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	out, err := answerGenerated(r, d)
	if errors.Is(err, errHeader) {
		*d = authz.Decision{Reason: authz.ReasonInternal, Policy: d.Policy, Consumer: d.Consumer, AccessToken: d.AccessToken, Err: err}
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
	case d.Challenges() && !isHeaderValue(challengeFor(d)):
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

// removals lists the headers to remove, none of which is set: Envoy removes
// after it sets. A name that Envoy would skip for being none is an error, since
// what was to be kept from the upstream would reach it.
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

// failed reports an error, which Envoy 1.37 and later treats by its
// failure_mode_allow. To an older one it is a denial without a body, because
// the status is not OK and the field not known.
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

// set replaces every value of a header. Envoy 1.37 goes by append_action where
// append is unset, and would add to a client's own header; all others go by
// append alone.
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
