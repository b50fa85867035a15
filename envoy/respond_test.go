package envoy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/authz"
)

func TestEveryReasonWithoutAnAllowDenies(t *testing.T) {
	t.Parallel()
	for _, reason := range authz.Reasons() {
		for name, d := range map[string]authz.Decision{"with a policy": denyFor(reason), "without": {Reason: reason}} {
			t.Run(reason.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				out := responded(t, getRequest(), d)
				mustDeny(t, out, d.Status())
				if got := out.GetDeniedResponse().GetStatus().GetCode(); got < 400 {
					t.Errorf("HTTP status: got %d, want an error", got)
				}
				if out.GetDeniedResponse().GetBody() == "" {
					t.Error("the body is empty")
				}
			})
		}
	}
	t.Run("a reason that does not exist", func(t *testing.T) {
		t.Parallel()
		mustDeny(t, responded(t, getRequest(), authz.Decision{Reason: 255}), http.StatusForbidden)
	})
	t.Run("the zero decision about the zero request", func(t *testing.T) {
		t.Parallel()
		mustDeny(t, responded(t, &authz.Request{}, authz.Decision{}), http.StatusForbidden)
	})
}

func TestDenialsCarryTheGRPCCodeOfTheirStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reason authz.Reason
		status int
		code   codes.Code
	}{
		{authz.ReasonAmbiguousPath, http.StatusBadRequest, codes.InvalidArgument},
		{authz.ReasonAmbiguousHost, http.StatusBadRequest, codes.InvalidArgument},
		{authz.ReasonAmbiguousPolicy, http.StatusForbidden, codes.PermissionDenied},
		{authz.ReasonWrongSecret, http.StatusUnauthorized, codes.Unauthenticated},
		{authz.ReasonACL, http.StatusForbidden, codes.PermissionDenied},
		{authz.ReasonInternal, http.StatusInternalServerError, codes.Internal},
		{authz.ReasonUnavailable, http.StatusServiceUnavailable, codes.Unavailable},
	}
	for _, test := range tests {
		t.Run(test.reason.String(), func(t *testing.T) {
			t.Parallel()
			out := responded(t, getRequest(), denyFor(test.reason))
			mustDeny(t, out, test.status)
			if got := codes.Code(out.GetStatus().GetCode()); got != test.code {
				t.Errorf("status.code: got %s, want %s", got, test.code)
			}
		})
	}
}

func TestAllowsHaveAStatusAndAnOKResponse(t *testing.T) {
	t.Parallel()
	d := allowAlice()
	out := responded(t, getRequest(), d)
	if out.GetStatus() == nil || out.GetStatus().GetCode() != 0 || out.GetOkResponse() == nil {
		t.Fatalf("got %v, want a status of 0 and an ok_response", out)
	}
	got := newAnswer(out)
	want := Answer{
		Allowed: true, Reason: "authenticated", Policy: "orders",
		Set:         headersSet(&d.Upstream),
		Remove:      []string{"x_consumer_id", "x-consumer_id", "x-anonymous-consumer", "access-token", "access_token"},
		RemoveQuery: []string{"access_token"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryHeaderIsReplacedWhateverTheVersionOfEnvoy(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, options []*corev3.HeaderValueOption) {
		t.Helper()
		if len(options) == 0 {
			t.Error("the answer has no headers")
		}
		for _, o := range options {
			if o.GetAppend() == nil || o.GetAppend().GetValue() { //nolint:staticcheck // the deprecated field is the one that counts
				t.Errorf("%s: append: got %v, want false, explicitly", o.GetHeader().GetKey(), o.GetAppend()) //nolint:staticcheck // as above
			}
			if o.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				t.Errorf("%s: append_action: got %s", o.GetHeader().GetKey(), o.GetAppendAction())
			}
			if len(o.GetHeader().GetRawValue()) > 0 {
				t.Errorf("%s: has a raw_value, which Envoy ignores", o.GetHeader().GetKey())
			}
		}
	}
	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		check(t, responded(t, getRequest(), allowAlice()).GetOkResponse().GetHeaders())
	})
	for _, reason := range authz.Reasons() {
		t.Run("denied "+reason.String(), func(t *testing.T) {
			t.Parallel()
			check(t, responded(t, getRequest(), denyFor(reason)).GetDeniedResponse().GetHeaders())
		})
	}
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		d := denyFor(authz.ReasonUnavailable)
		d.Policy.OnError = authz.OnErrorResponse
		check(t, responded(t, getRequest(), d).GetErrorResponse().GetHeaders())
	})
}

func TestAHeaderThatIsSetIsNeverRemoved(t *testing.T) {
	t.Parallel()
	d := allowAlice()
	d.Upstream.Remove = append(slices.Clone(d.Upstream.Remove), "x-consumer-id")
	d.Upstream.RemoveAlso = append(slices.Clone(d.Upstream.RemoveAlso), "x-consumer-username", "x.consumer.id")
	ok := responded(t, getRequest(), d).GetOkResponse()
	for _, h := range ok.GetHeaders() {
		if slices.Contains(ok.GetHeadersToRemove(), h.GetHeader().GetKey()) {
			t.Errorf("%s is set and removed: Envoy removes last", h.GetHeader().GetKey())
		}
	}
	for _, name := range []string{"x_consumer_id", "x.consumer.id", "access_token"} {
		if !slices.Contains(ok.GetHeadersToRemove(), name) {
			t.Errorf("%s is not removed", name)
		}
	}
}

func TestTheQueryIsChangedOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path string
		want               []string
	}{
		{name: "a path with a query", method: "GET", path: "/?access_token=a", want: []string{"access_token"}},
		{name: "CONNECT", method: "CONNECT", path: "/?access_token=a"},
		{name: "CONNECT without a path", method: "CONNECT"},
		{name: "no path", method: "GET"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := getRequest()
			r.Method, r.Path = test.method, test.path
			got := responded(t, r, allowAlice()).GetOkResponse().GetQueryParametersToRemove()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidHeaderValuesTurnAnAnswerIntoADenial(t *testing.T) {
	t.Parallel()
	username := func(value string) func(*authz.Decision) {
		return func(d *authz.Decision) { d.Upstream.Set[1].Value = value }
	}
	name := func(name string) func(*authz.Decision) {
		return func(d *authz.Decision) { d.Upstream.Set[1].Name = name }
	}
	tests := []struct {
		name   string
		change func(*authz.Decision)
	}{
		{"a line feed", username("a\nx-admin: true")},
		{"a carriage return", username("a\r")},
		{"NUL", username("a\x00")},
		{"DEL", username("a\x7f")},
		{"ESC", username("\x1b[2J")},
		{"bytes that are not UTF-8", username("\xff\xfe")},
		{"a name that is empty", name("")},
		{"a name in upper case", name("X-Consumer-Username")},
		{"a pseudo header", name(":path")},
		{"a name with a space", name("x consumer")},
		{"a name with a line feed", name("x\n")},
		{"a name that is not ASCII", name("x-é")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := allowAlice()
			test.change(&d)
			mustDeny(t, responded(t, getRequest(), d), http.StatusInternalServerError)
		})
	}
	for _, realm := range []string{"a\nset-cookie: x", "a\x00", "\xff"} {
		t.Run("a realm of "+strings.ToValidUTF8(realm, "?"), func(t *testing.T) {
			t.Parallel()
			d := denyFor(authz.ReasonWrongSecret)
			d.Policy.Realm = realm
			out := responded(t, getRequest(), d)
			mustDeny(t, out, http.StatusInternalServerError)
		})
	}
}

// Envoy ignores an invalid name, so the header would reach the upstream. Text that is not UTF-8
// cannot be encoded, so the call would fail.
func TestInvalidRemovalsTurnAnAnswerIntoADenial(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*authz.Upstream)
	}{
		{"a header without a name", func(u *authz.Upstream) { u.Remove = []string{""} }},
		{"a pseudo header", func(u *authz.Upstream) { u.Remove = []string{":path"} }},
		{"a header name with a space", func(u *authz.Upstream) { u.RemoveAlso = []string{"x consumer id"} }},
		{"a header name that is not UTF-8", func(u *authz.Upstream) { u.RemoveAlso = []string{"x\xffconsumer-id"} }},
		{"a query parameter that is not UTF-8", func(u *authz.Upstream) { u.RemoveQuery = []string{"access_token", "\xff"} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := allowAlice()
			test.change(&d.Upstream)
			mustDeny(t, responded(t, getRequest(), d), http.StatusInternalServerError)
		})
	}
}

func TestValidHeaderValuesAreKept(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "alice", "円", "a b", `"'<>&`, "gold, eu"} {
		d := allowAlice()
		d.Upstream.Set[1].Value = value
		if got := responded(t, getRequest(), d).GetOkResponse().GetHeaders()[1].GetHeader().GetValue(); got != value {
			t.Errorf("got %q, want %q", got, value)
		}
	}
}

func TestOnlyAnUnavailableStoreIsEverAnError(t *testing.T) {
	t.Parallel()
	for _, reason := range authz.Reasons() {
		for _, onError := range []authz.OnError{authz.OnErrorDeny, authz.OnErrorResponse, authz.OnErrorGRPC, ""} {
			t.Run(reason.String()+" "+string(onError), func(t *testing.T) {
				t.Parallel()
				d := denyFor(reason)
				d.Policy.OnError = onError
				var w writer
				err := respond(&w, getRequest(), &d)
				switch {
				case d.Unavailable() && onError == authz.OnErrorGRPC:
					if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), presented) {
						t.Errorf("got error %v, want code Unavailable and a fixed text", err)
					}
				case err != nil:
					t.Errorf("got error %v: a failed call is not a denial", err)
				case d.Unavailable() && onError == authz.OnErrorResponse:
					mustFail(t, wire(t, decodedAnswer(t, &w)))
				default:
					mustDeny(t, wire(t, decodedAnswer(t, &w)), d.Status())
				}
			})
		}
	}
	t.Run("unavailable without a policy", func(t *testing.T) {
		t.Parallel()
		mustDeny(t, responded(t, getRequest(), authz.Decision{Reason: authz.ReasonUnavailable}), http.StatusServiceUnavailable)
	})
}

// mustFail expects that Envoy 1.37 takes its error path, and that older versions, which do not know
// error_response, deny.
func mustFail(tb testing.TB, out *authv3.CheckResponse) {
	tb.Helper()
	if out.GetStatus().GetCode() == 0 {
		tb.Fatalf("status.code is 0, which allows: %v", out)
	}
	if got := out.GetErrorResponse().GetStatus().GetCode(); got != http.StatusServiceUnavailable {
		tb.Fatalf("error_response: status %d, want 503: %v", got, out)
	}
}

func TestOnlyAnUnavailableServiceSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	for _, reason := range authz.Reasons() {
		d := denyFor(reason)
		got := denialHeader(responded(t, getRequest(), d), "retry-after")
		want := ""
		if d.Status() == http.StatusServiceUnavailable {
			want = "1"
		}
		if got != want {
			t.Errorf("%s: got retry-after %q, want %q", reason, got, want)
		}
	}
}

// denialHeader returns the value of a header of a denial, "" if it has none.
func denialHeader(out *authv3.CheckResponse, name string) string {
	for _, o := range out.GetDeniedResponse().GetHeaders() {
		if o.GetHeader().GetKey() == name {
			return o.GetHeader().GetValue()
		}
	}
	return ""
}

func TestTheNameOfAHeaderIsATokenInLowerCase(t *testing.T) {
	t.Parallel()
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
	for c := range 256 {
		want := strings.IndexByte(allowed, byte(c)) >= 0
		for _, name := range []string{string([]byte{byte(c)}), "a" + string([]byte{byte(c)})} {
			if got := isHeaderName(name); got != want {
				t.Errorf("%q: got %t, want %t", name, got, want)
			}
		}
	}
	if isHeaderName("") {
		t.Error("the empty name is accepted")
	}
}

func TestTheValueOfAHeaderHasNoControlCharacterButATab(t *testing.T) {
	t.Parallel()
	for c := range 128 {
		want := c >= ' ' && c != 0x7f || c == '\t'
		if got := isHeaderValue("a" + string([]byte{byte(c)})); got != want {
			t.Errorf("%q: got %t, want %t", byte(c), got, want)
		}
	}
	if !isHeaderValue("Zoë") || isHeaderValue("Zo\xeb") {
		t.Error("valid and invalid UTF-8 are not distinguished")
	}
}
