package envoy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCallsAreCountedByTheirCodeAndWhileTheyLast(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	c := newCallCounter()
	for range 9 {
		c.begin()
	}
	c.end(t.Context(), nil)
	c.end(t.Context(), status.Error(codes.Unavailable, "vault"))
	c.end(t.Context(), errors.New("of another kind"))
	c.end(t.Context(), status.Error(99, "no such code"))
	c.end(canceled, nil)
	c.end(canceled, status.Error(codes.Unavailable, "vault"))
	c.end(late, nil)
	want := `
# HELP vault_authz_grpc_calls_in_flight Check calls of Envoy that are being answered.
# TYPE vault_authz_grpc_calls_in_flight gauge
vault_authz_grpc_calls_in_flight 2
# HELP vault_authz_grpc_calls_total Check calls of Envoy that ended, by gRPC code. A denial is OK; Canceled and DeadlineExceeded are calls that Envoy gave up.
# TYPE vault_authz_grpc_calls_total counter
vault_authz_grpc_calls_total{code="Canceled"} 1
vault_authz_grpc_calls_total{code="DeadlineExceeded"} 1
vault_authz_grpc_calls_total{code="OK"} 1
vault_authz_grpc_calls_total{code="Unavailable"} 2
vault_authz_grpc_calls_total{code="Unknown"} 2
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
