package envoy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/authz"
)

// respond writes a decision as a CheckResponse. The only error is the one that a policy with
// on_error: grpc_error asks for. If the answer would contain bytes that are invalid in a header, it
// writes a denial and replaces d by it, so that the log and the metrics show what was answered.
func respond(w *writer, r *authz.Request, d *authz.Decision) error {
	if d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorGRPC {
		return status.Error(codes.Unavailable, "credential store unavailable")
	}
	if err := w.answer(r, d); err != nil {
		w.drop()
		consumer := d.Consumer
		*d = d.Deny(authz.ReasonInternal, err)
		d.Consumer = consumer
		w.denied(checkResponseDenied, r, d)
	}
	return nil
}

func (w *writer) answer(r *authz.Request, d *authz.Decision) error {
	switch {
	case d.Allowed:
		return w.allowed(r, d)
	case d.Challenges() && d.Policy != nil && !isHeaderValue(d.Policy.Realm):
		return fmt.Errorf("%w: the challenge, by the policy's realm", errHeader)
	case d.Unavailable() && d.Policy != nil && d.Policy.OnError == authz.OnErrorResponse:
		// For this error Envoy 1.37 and later decides by failure_mode_allow. For older
		// versions it is a denial without a body, because the status is not OK and the
		// field is unknown.
		w.denied(checkResponseError, r, d)
	default:
		w.denied(checkResponseDenied, r, d)
	}
	return nil
}

func (w *writer) allowed(r *authz.Request, d *authz.Decision) error {
	w.metadata(d)
	end := w.mark()
	// Envoy before 1.36.10, 1.37.6, 1.38.4 and 1.39.1 crashes on a change of the query of a
	// request without a path (CVE-2026-73547).
	if r.Method != http.MethodConnect && r.Path != "" {
		for i := len(d.Upstream.RemoveQuery) - 1; i >= 0; i-- {
			name := d.Upstream.RemoveQuery[i]
			if !utf8.ValidString(name) {
				return fmt.Errorf("%w: a query parameter that is to be removed is not UTF-8", errHeader)
			}
			w.text(okQueryParametersToRemove, name)
		}
	}
	if err := w.removals(&d.Upstream); err != nil {
		return err
	}
	if err := w.headers(&d.Upstream); err != nil {
		return err
	}
	w.enclose(checkResponseOK, end)
	w.status(codes.OK, "")
	return nil
}

// headers writes the headers to set.
func (w *writer) headers(u *authz.Upstream) error {
	if u.SetAlso.Name != "" {
		if err := w.setting(&u.SetAlso); err != nil {
			return err
		}
	}
	return w.remembered(u.SetMemo, func(w *writer) error {
		for i := len(u.Set) - 1; i >= 0; i-- {
			if err := w.setting(&u.Set[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) setting(h *authz.Header) error {
	if !isHeaderName(h.Name) || !isHeaderValue(h.Value) {
		return fmt.Errorf("%w: %q", errHeader, h.Name)
	}
	w.header(okHeaders, h.Name, h.Value)
	return nil
}

// removals lists the headers to remove.
func (w *writer) removals(u *authz.Upstream) error {
	if err := w.remembered(u.RemoveAlsoMemo, func(w *writer) error { return w.removing(u, u.RemoveAlso) }); err != nil {
		return err
	}
	return w.remembered(u.RemoveMemo, func(w *writer) error { return w.removing(u, u.Remove) })
}

// removing writes the names of headers to remove, without those that are set: Envoy removes after
// it sets. A name that is invalid for Envoy is an error, because Envoy would ignore it and the
// header would reach the upstream.
func (w *writer) removing(u *authz.Upstream, names []string) error {
	for i := len(names) - 1; i >= 0; i-- {
		name := names[i]
		if !isHeaderName(name) {
			return fmt.Errorf("%w: %q is to be removed", errHeader, name)
		}
		if name != u.SetAlso.Name && !slices.ContainsFunc(u.Set, func(h authz.Header) bool { return h.Name == name }) {
			w.text(okHeadersToRemove, name)
		}
	}
	return nil
}

// remembered writes the result of write, which the memo keeps from the first call. write must depend
// only on the subject of the memo. authz sets no header that such a list removes, so the list is
// always complete.
func (w *writer) remembered(m *authz.Memo, write func(w *writer) error) error {
	if m == nil {
		return write(w)
	}
	var wrong error
	encoded := m.Bytes(func() []byte {
		own := &writer{}
		if wrong = write(own); wrong != nil {
			return nil
		}
		return slices.Clone(own.written())
	})
	copy(w.room(len(encoded)), encoded)
	return wrong
}

// denyWhatever discards the answer so far and denies, even if that panics.
func (w *writer) denyWhatever(d *authz.Decision) {
	defer func() {
		if recover() != nil {
			w.drop()
			w.bareDenial()
		}
	}()
	w.drop()
	w.denied(checkResponseDenied, &authz.Request{}, d)
}

// bareDenial is a denial that cannot fail.
func (w *writer) bareDenial() {
	end := w.mark()
	w.httpStatus(http.StatusInternalServerError)
	w.enclose(checkResponseDenied, end)
	w.status(codes.Internal, "")
}

// status writes the status. Only [codes.OK] allows.
func (w *writer) status(code codes.Code, message string) {
	end := w.mark()
	if message != "" {
		w.text(statusMessage, message)
	}
	if code != codes.OK {
		w.number(statusCode, int(code))
	}
	w.enclose(checkResponseStatus, end)
}

func (w *writer) httpStatus(code int) {
	end := w.mark()
	w.number(httpStatusCode, code)
	w.enclose(deniedStatus, end)
}

// header replaces every value of a header by one, which is given in parts. Envoy 1.37
// goes by append_action where append is unset, and would add to a client's own header;
// all others go by append alone.
func (w *writer) header(field int, name string, value ...string) { //nolint:unparam // an allow and a denial have the same number for it by chance
	end := w.mark()
	w.number(optionAppendAction, int(corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	w.text(optionAppend, "") // a BoolValue that is false
	inner := w.mark()
	if w.raw(value...); w.mark() > inner {
		w.enclose(headerValue, inner)
	}
	w.text(headerKey, name)
	w.enclose(optionHeader, inner)
	w.enclose(field, end)
}

// grpcCode returns the gRPC code for an HTTP status. It is never OK, which would allow.
func grpcCode(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return codes.Unavailable
	case http.StatusInternalServerError:
		return codes.Internal
	}
	return codes.PermissionDenied
}

// errHeader means that an answer would contain something that is invalid in a header.
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

// isHeaderValue says whether s is a field value: without control characters except tabs (RFC 9110,
// section 5.5), and in UTF-8, which protobuf requires.
func isHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}
