package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts"
)

// call makes a gRPC call through Envoy on the route of a policy.
func (bed *testbed) call(ctx context.Context, listener, policy string, header []field) (*parts.Echo, error) {
	conn, err := grpc.NewClient("passthrough:///"+bed.envoy.Address(listener),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(parts.PolicyHost(policy)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, f := range header {
		ctx = metadata.AppendToOutgoingContext(ctx, f.name, f.value)
	}
	var got metadata.MD
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&got)); err != nil {
		return nil, err
	}
	var e parts.Echo
	err = json.Unmarshal([]byte(strings.Join(got.Get(parts.EchoHeader), "")), &e)
	return &e, err
}

// TestAGRPCClientSeesTheDecisionAsAStatus covers gRPC clients, which read the gRPC status
// and ignore HTTP statuses and bodies.
func TestAGRPCClientSeesTheDecisionAsAStatus(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	alice, bob := bed.credential(t, aliceID, nil), bed.credential(t, bobID, nil)
	tests := []struct {
		name, policy string
		header       []field
		code         codes.Code
		message      string
		consumer     string
	}{
		{"a good pair", "default", alice.headers(), codes.OK, "", aliceID},
		{"no tokens", "default", nil, codes.Unauthenticated, "No access token and secret token found in request", ""},
		{"a wrong secret", "default", pair{alice.access, unique("wrong")}.headers(), codes.Unauthenticated, "Unauthorized", ""},
		{"a group that is not allowed", "acl-allow", bob.headers(), codes.PermissionDenied, "You cannot consume this service", ""},
		{"anonymous", "anonymous", nil, codes.OK, "", guestID},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, listener := range []string{onHeaders, onRaw} {
				header := append([]field{{"x-consumer-id", bobID}}, test.header...)
				echo, err := bed.call(t.Context(), listener, test.policy, header)
				got := status.Convert(err)
				if got.Code() != test.code {
					t.Fatalf("listener %s: status = %v, want %s", listener, err, test.code)
				}
				if test.code != codes.OK {
					if got.Message() != test.message {
						t.Errorf("listener %s: message = %q, want %q", listener, got.Message(), test.message)
					}
					continue
				}
				if id := strings.Join(echo.Headers["x-consumer-id"], ", "); id != test.consumer {
					t.Errorf("listener %s: x-consumer-id = %q, want %q", listener, id, test.consumer)
				}
				if _, leaked := echo.Headers["secret_token"]; leaked {
					t.Errorf("listener %s: the upstream got the secret", listener)
				}
			}
		})
	}
}
