package envoy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/vault-authz/vault-authz/authz"
)

func TestAQuestionIsReadAsTheRequestItDescribes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		q    Question
		want authz.Request
		// joined has the differences without raw headers.
		joined []authz.Header
	}{
		{
			name: "a plain request",
			q:    Question{Method: "GET", URL: "http://shop.test/orders?b=%20&a=1#f", Headers: []authz.Header{{Name: "Access-Token", Value: "a"}}},
			want: authz.Request{
				HTTP: true, Method: "GET", Path: "/orders?b=%20&a=1", Host: "shop.test", Scheme: "http",
				Headers: []authz.Header{{Name: "access-token", Value: "a"}},
			},
		},
		{
			name: "no path",
			q:    Question{Method: "GET", URL: "https://shop.test:8443"},
			want: authz.Request{HTTP: true, Method: "GET", Path: "/", Host: "shop.test:8443", Scheme: "https", Headers: []authz.Header{}},
		},
		{
			name: "a path that two programs may read differently",
			q:    Question{Method: "GET", URL: "http://shop.test/a%2Fb/../c"},
			want: authz.Request{HTTP: true, Method: "GET", Path: "/a%2Fb/../c", Host: "shop.test", Scheme: "http", Headers: []authz.Header{}},
		},
		{
			name: "a policy",
			q:    Question{Method: "GET", URL: "http://shop.test/", Policy: "orders"},
			want: authz.Request{HTTP: true, Method: "GET", Path: "/", Host: "shop.test", Scheme: "http", Headers: []authz.Header{}, PolicyName: "orders", NamesPolicy: true},
		},
		{
			name: "all policies that match",
			q:    Question{Method: "GET", URL: "http://shop.test/", Explain: true},
			want: authz.Request{HTTP: true, Method: "GET", Path: "/", Host: "shop.test", Scheme: "http", Headers: []authz.Header{}, Explain: true},
		},
		{
			name: "a host of its own, as with curl",
			q:    Question{Method: "GET", URL: "http://127.0.0.1/", Headers: []authz.Header{{Name: "Host", Value: "shop.test"}}},
			want: authz.Request{HTTP: true, Method: "GET", Path: "/", Host: "shop.test", Scheme: "http", Headers: []authz.Header{}},
		},
		{
			name: "a body",
			q: Question{Method: "POST", URL: "http://shop.test/", Body: []byte("a=1"), Headers: []authz.Header{
				{Name: "Content-Length", Value: "7"}, {Name: partialBody, Value: "true"},
			}},
			want: authz.Request{
				HTTP: true, Method: "POST", Path: "/", Host: "shop.test", Scheme: "http", Body: []byte("a=1"),
				Headers: []authz.Header{{Name: "content-length", Value: "3"}, {Name: partialBody, Value: "false"}},
			},
		},
		{
			name: "repeated headers and bytes that are not UTF-8",
			q: Question{Method: "GET", URL: "http://shop.test/", Headers: []authz.Header{
				{Name: "b", Value: "1"}, {Name: "a", Value: "2\xff\xfe"}, {Name: "B", Value: "3"},
			}},
			want: authz.Request{
				HTTP: true, Method: "GET", Path: "/", Host: "shop.test", Scheme: "http",
				Headers: []authz.Header{{Name: "b", Value: "1"}, {Name: "a", Value: "2\xff\xfe"}, {Name: "b", Value: "3"}},
			},
			joined: []authz.Header{{Name: "a", Value: "2!!"}, {Name: "b", Value: "1,3"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, raw := range []bool{true, false} {
				test.q.RawHeaders = raw
				if !raw && test.joined != nil {
					test.want.Headers = test.joined
				}
				in, err := test.q.request()
				if err != nil {
					t.Fatal(err)
				}
				got := read(t, in)
				if len(got.Body) == 0 {
					got.Body = nil
				}
				if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(authz.Request{})); diff != "" {
					t.Errorf("raw headers %t (-want +got):\n%s", raw, diff)
				}
			}
		})
	}
}

func TestAQuestionWithoutAUsableURLIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "/orders", "shop.test/orders", "ftp://shop.test/", "http://", "http://shop.test/%zz?secret_token=hunter2", "http://shop.test:x/?secret_token=hunter2"} {
		_, err := Ask(t.Context(), nil, Question{Method: "GET", URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got error %v, want one that does not show the query", url, err)
		}
		if _, err := (Question{Method: "GET", URL: url}).JSON(); err == nil {
			t.Errorf("%q: JSON: no error", url)
		}
	}
}

func TestTheJSONOfAQuestionIsTheSameCheckRequest(t *testing.T) {
	t.Parallel()
	q := Question{Method: "POST", URL: "http://shop.test/?a=1", Headers: []authz.Header{{Name: "access-token", Value: "it's"}}, Body: []byte("{}"), Policy: "orders", RawHeaders: true}
	data, err := q.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) || strings.ContainsAny(string(data), "\n") {
		t.Errorf("got %s, want one line of JSON", data)
	}
	var in authv3.CheckRequest
	if err := protojson.Unmarshal(data, &in); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	want, err := q.request()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describeRequest(read(t, want)), describeRequest(read(t, &in))); diff != "" {
		t.Errorf("(-question +its JSON):\n%s", diff)
	}
}

func TestAnswersContainWhatTheServiceAnswered(t *testing.T) {
	t.Parallel()
	unavailable := denyFor(authz.ReasonUnavailable)
	unavailable.Policy.OnError = authz.OnErrorResponse
	tests := []struct {
		name   string
		d      authz.Decision
		want   Answer
		header string
	}{
		{name: "allowed", d: allowAlice(), want: Answer{Allowed: true, Reason: "authenticated", Policy: "orders"}},
		{name: "denied", d: denyFor(authz.ReasonWrongSecret), want: Answer{Status: http.StatusUnauthorized, Reason: "wrong_secret", Policy: "orders"}, header: "www-authenticate"},
		{name: "an error", d: unavailable, want: Answer{Error: true, Status: http.StatusServiceUnavailable, Reason: "unavailable", Policy: "orders"}, header: "retry-after"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := serve(t, NewService(always(test.d), Options{}))
			got, err := Ask(t.Context(), conn, Question{Method: "GET", URL: "http://shop.test/?access_token=a"})
			if err != nil {
				t.Fatal(err)
			}
			if got.Allowed != test.want.Allowed || got.Error != test.want.Error || got.Status != test.want.Status ||
				got.Reason != test.want.Reason || got.Policy != test.want.Policy {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if test.d.Allowed {
				if len(got.Set) != 3 || len(got.Remove) != 5 || len(got.RemoveQuery) != 1 {
					t.Errorf("changes: got %+v", got)
				}
				return
			}
			if got.Body == "" || len(got.Set)+len(got.Remove)+len(got.RemoveQuery) > 0 {
				t.Errorf("got %+v, want a body and no changes", got)
			}
			names := map[string]string{}
			for _, h := range got.Headers {
				names[h.Name] = h.Value
			}
			if names[test.header] == "" {
				t.Errorf("got headers %v, want %s", names, test.header)
			}
		})
	}
	t.Run("a failed call", func(t *testing.T) {
		t.Parallel()
		d := denyFor(authz.ReasonUnavailable)
		d.Policy.OnError = authz.OnErrorGRPC
		conn := serve(t, NewService(always(d), Options{}))
		if got, err := Ask(context.Background(), conn, Question{Method: "GET", URL: "http://shop.test/"}); err == nil {
			t.Errorf("got %+v, want an error", got)
		}
	})
}
