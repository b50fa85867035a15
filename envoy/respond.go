package envoy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
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

// respond writes a decision as the answer to Envoy. The only error is the one
// that a policy with on_error: grpc_error asks for. An answer that would carry
// bytes that no header may have denies instead, and d becomes that denial: what
// is logged and counted is what was answered.
func respond(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	out, err := answer(r, d)
	if errors.Is(err, errHeader) {
		*d = authz.Decision{Reason: authz.ReasonInternal, Policy: d.Policy, Consumer: d.Consumer, AccessToken: d.AccessToken, Err: err}
		return denied(r, d), nil
	}
	return out, err
}

func answer(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	switch {
	case d.Allowed:
		return allowed(r, d)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorGRPC:
		return nil, status.Error(codes.Unavailable, "credential store unavailable")
	case d.Challenges() && !isHeaderValue(challengeFor(d)):
		return nil, fmt.Errorf("%w: the challenge, by the policy's realm", errHeader)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorResponse:
		return failed(r, d), nil
	}
	return denied(r, d), nil
}

func allowed(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{Headers: make([]*corev3.HeaderValueOption, 0, len(d.Upstream.Set))}
	for _, h := range d.Upstream.Set {
		if !isHeaderName(h.Name) || !isHeaderValue(h.Value) {
			return nil, fmt.Errorf("%w: %q", errHeader, h.Name)
		}
		ok.Headers = append(ok.Headers, set(h.Name, h.Value))
	}
	var err error
	if ok.HeadersToRemove, err = removals(&d.Upstream); err != nil {
		return nil, err
	}
	// Envoy before 1.36.10, 1.37.6, 1.38.4 and 1.39.1 crashes when it is told to
	// change the query of a request without a path (CVE-2026-73547).
	if r.Method != http.MethodConnect && r.Path != "" {
		ok.QueryParametersToRemove = d.Upstream.RemoveQuery
	}
	if slices.ContainsFunc(ok.GetQueryParametersToRemove(), notUTF8) {
		return nil, fmt.Errorf("%w: a query parameter that is to be removed is not UTF-8", errHeader)
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(d),
	}, nil
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
			if !slices.ContainsFunc(u.Set, func(h authz.Header) bool { return h.Name == name }) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}

func denied(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	page := newDenial(r, d)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: grpcCode(d.Status()), Message: d.Message()},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())}, //nolint:gosec // an HTTP status
			Headers: page.headers,
			Body:    page.body,
		}},
		DynamicMetadata: metadata(d),
	}
}

// bareDenial is the denial that nothing can go wrong with.
func bareDenial() *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.Internal)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_InternalServerError},
		}},
	}
}

// failed reports an error, which Envoy 1.37 and later treats by its
// failure_mode_allow. To an older one it is a denial without a body, because
// the status is not OK and the field not known.
func failed(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	page := newDenial(r, d)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.Unavailable), Message: d.Message()},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())}, //nolint:gosec // an HTTP status
			Headers: page.headers,
			Body:    page.body,
		}},
		DynamicMetadata: metadata(d),
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

// grpcCode is the code that goes with an HTTP status. It is never OK: that would
// allow.
func grpcCode(httpStatus int) int32 {
	switch httpStatus {
	case http.StatusBadRequest:
		return int32(codes.InvalidArgument)
	case http.StatusUnauthorized:
		return int32(codes.Unauthenticated)
	case http.StatusServiceUnavailable:
		return int32(codes.Unavailable)
	case http.StatusInternalServerError:
		return int32(codes.Internal)
	}
	return int32(codes.PermissionDenied)
}

// retryAfter is the value of Retry-After: whole seconds, not too early, at least
// one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// errHeader: an answer would carry something that no header may have.
var errHeader = errors.New("invalid header")

// isHeaderName says whether s is a field name in lower case (RFC 9110, token).
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isHeaderValue says whether s is a field value: no control character but a tab
// (RFC 9110, section 5.5), and UTF-8, without which protobuf cannot carry it.
func isHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

func notUTF8(s string) bool { return !utf8.ValidString(s) }
