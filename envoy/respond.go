package envoy

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
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
// bytes that no header may have denies instead.
func respond(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	out, err := answer(r, d)
	if errors.Is(err, errHeader) {
		return denied(r, &authz.Decision{Reason: authz.ReasonInternal, Policy: d.Policy}), nil
	}
	return out, err
}

func answer(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	switch {
	case d.Allowed:
		return allowed(r, d)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorGRPC:
		return nil, status.Error(codes.Unavailable, "credential store unavailable")
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorResponse:
		return failed(r, d), nil
	}
	return denied(r, d), nil
}

func allowed(r *authz.Request, d *authz.Decision) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{Headers: make([]*corev3.HeaderValueOption, 0, len(d.Upstream.Set))}
	for _, h := range d.Upstream.Set {
		if !isHeaderName(h.Name) || !isHeaderValue(h.Value) {
			return nil, errHeader
		}
		ok.Headers = append(ok.Headers, set(h.Name, h.Value))
	}
	ok.HeadersToRemove = removals(&d.Upstream)
	// Envoy before 1.36.10, 1.37.6, 1.38.4 and 1.39.1 crashes when it is told to
	// change the query of a request without a path (CVE-2026-73547).
	if r.Method != http.MethodConnect && r.Path != "" {
		ok.QueryParametersToRemove = d.Upstream.RemoveQuery
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(d),
	}, nil
}

// removals lists the headers to remove, none of which is set: Envoy removes
// after it sets.
func removals(u *authz.Upstream) []string {
	out := make([]string, 0, len(u.Remove)+len(u.RemoveAlso))
	for _, names := range [][]string{u.Remove, u.RemoveAlso} {
		for _, name := range names {
			if !slices.ContainsFunc(u.Set, func(h authz.Header) bool { return h.Name == name }) {
				out = append(out, name)
			}
		}
	}
	return out
}

func denied(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	page := newDenial(r, d)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(grpcCode(d.Status())), Message: d.Message()},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())}, //nolint:gosec // an HTTP status
			Headers: page.headers,
			Body:    page.body,
		}},
		DynamicMetadata: metadata(d),
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
		Append:       wrapperspb.Bool(false),
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// grpcCode is the code that goes with an HTTP status. It is never OK: that would
// allow.
func grpcCode(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusInternalServerError:
		return codes.Internal
	}
	return codes.PermissionDenied
}

// retryAfter is the value of Retry-After: whole seconds, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second)))
}

// errHeader: an answer would carry something that no header may have.
var errHeader = errors.New("invalid header")

// isHeaderName says whether s is a field name in lower case (RFC 9110, token).
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
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
