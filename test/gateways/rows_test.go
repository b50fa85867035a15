package gateways

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A row is a request and what has to come of it. Each request carries forged identity headers.
type row struct {
	name string
	// host is the protected host if empty.
	method, host, path string
	header             fields
	status             int
	// consumer is the user name that the upstream gets. Without one the request must not
	// reach the upstream, unless open is set.
	consumer string
	open     bool
	// reason is that of the decision, empty if vault-authz must not be asked.
	reason string
	// seen is the path that vault-authz sees, if the gateway changes it.
	seen string
}

// rows are what every gateway has to do with the shipped files.
func rows() []row {
	const orders = "/orders"
	return []row{
		{name: "a good pair", path: orders, header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "names with dashes", path: orders, header: fields{"access-token", "alice", "secret-token", secretOf("alice")}, status: 200, consumer: "alice", reason: "authenticated"},
		{name: "another route and policy", path: "/catalogue", header: pair("bob"), status: 200, consumer: "bob", reason: "authenticated"},
		{name: "no tokens", path: orders, status: 401, reason: "missing_token"},
		{name: "one token", path: orders, header: pair("alice")[:2], status: 401, reason: "missing_token"},
		{name: "an unknown access token", path: orders, header: pair("nobody"), status: 401, reason: "unknown_token"},
		{name: "a wrong secret", path: orders, header: append(pair("alice")[:2], "secret_token", "wrong"), status: 401, reason: "wrong_secret"},
		{name: "an access token twice", path: orders, header: append(pair("alice"), "access_token", "bob"), status: 401, reason: "duplicate_token"},
		{name: "an access token in two spellings", path: orders, header: append(pair("alice"), "access-token", "bob"), status: 401, reason: "duplicate_token"},
		{name: "a disabled credential", path: orders, header: pair("disabled"), status: 401, reason: "disabled"},
		{name: "an expired credential", path: orders, header: pair("expired"), status: 401, reason: "expired"},
		{name: "a consumer that does not exist", path: orders, header: pair("stranger"), status: 401, reason: "unknown_consumer"},
		{name: "a consumer without the group", path: orders, header: pair("bob"), status: 403, reason: "acl"},
		{name: "a host with a port", host: host + ":8080", path: orders, header: pair("bob"), status: 403, reason: "acl"},
		{name: "a host in capital letters", host: "API.Example.COM", path: orders, header: pair("bob"), status: 403, reason: "acl"},
	}
}

// unique makes each path different, by which a decision is found.
var unique atomic.Int64

// check sends each row over each version of HTTP.
func (s *site) check(t *testing.T, address string, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for version, client := range clients() {
				t.Run(version, func(t *testing.T) { s.checkOne(t, client, address, r) })
			}
		})
	}
}

func (s *site) checkOne(t *testing.T, client *http.Client, address string, r row) {
	t.Helper()
	n := unique.Add(1)
	path, seen := fmt.Sprintf("%s/%d", r.path, n), fmt.Sprintf("%s/%d", cmp.Or(r.seen, r.path), n)
	got, err := send(t, client, address, parts.Request{Method: r.method, Host: cmp.Or(r.host, host), Target: path}, append(forged(), r.header...))
	must(t, err)
	if got.Status != r.status {
		t.Fatalf("status = %d, want %d; body %.300s", got.Status, r.status, got.Body)
	}
	if reached := got.Echo != nil; reached != (r.consumer != "" || r.open) {
		t.Errorf("the upstream got %+v", got.Echo)
	}
	if r.consumer != "" && got.Echo != nil {
		s.checkUpstream(t, got.Echo, r.consumer)
	}
	s.checkReason(t, seen, r.reason)
}

// checkUpstream checks that the upstream got the identity from vault-authz, and no token.
func (*site) checkUpstream(t *testing.T, e *parts.Echo, want string) {
	t.Helper()
	if got := consumer(e); got != want {
		t.Errorf("the upstream got the consumer %q, want %q", got, want)
	}
	raw, err := json.Marshal(e)
	must(t, err)
	for _, never := range []string{"forged", secretOf(want)} {
		if strings.Contains(string(raw), never) {
			t.Errorf("%q reached the upstream: %s", never, raw)
		}
	}
}

// checkReason checks the logged decision about a path.
func (s *site) checkReason(t *testing.T, path, want string) {
	t.Helper()
	if want == "" {
		if got := s.service.Decisions(path); len(got) != 0 {
			t.Errorf("vault-authz decided %+v, and should not have been asked", got)
		}
		return
	}
	var got []parts.DecisionLine
	partstest.Await(t, time.Minute, func(context.Context) error {
		if got = s.service.Decisions(path); len(got) == 0 {
			return fmt.Errorf("no decision about %s is logged", path)
		}
		return nil
	})
	if len(got) != 1 || got[0].Reason != want {
		t.Errorf("decisions %+v, want one with the reason %s", got, want)
	}
}

// checkGRPC makes calls with a gRPC client, which sees the decision as a status.
func (s *site) checkGRPC(t *testing.T, address string) {
	t.Helper()
	for _, test := range []struct {
		name   string
		header fields
		code   codes.Code
	}{
		{"a good pair", pair("alice"), codes.OK},
		{"no tokens", nil, codes.Unauthenticated},
		{"a wrong secret", append(pair("alice")[:2], "secret_token", "wrong"), codes.Unauthenticated},
	} {
		t.Run("gRPC, "+test.name, func(t *testing.T) {
			echo, err := call(t, address, test.header)
			if got := status.Code(err); got != test.code {
				t.Fatalf("%v, want %s", err, test.code)
			}
			if echo != nil {
				s.checkUpstream(t, echo, "alice")
			}
		})
	}
}
