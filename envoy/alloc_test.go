//go:build !race

package envoy

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

func TestAllocOnceForACheckFromTheWireToTheAnswer(t *testing.T) {
	allow := deciding(t, nil).Check(t.Context(), getRequest(
		authz.Header{Name: "access-token", Value: "alice-access"}, authz.Header{Name: "secret-token", Value: "alice-secret"}))
	decisions := map[string]authz.Decision{"allow": allow}
	for _, reason := range authz.Reasons() {
		deny := denyFor(reason)
		deny.Policy.Realm = "shop"
		decisions[reason.String()] = deny
		decisions[reason.String()+", as the policy says"] = ownDenial(t, plainDenials(), reason)
	}
	data := marshal(t, benchRequest(true))
	for name, d := range decisions {
		e := newEndpoint(NewService(always(d), Options{}))
		stream := &readyStream{prefix: announced(len(data)), message: mem.BufferSlice{mem.SliceBuffer(data)}}
		ctx := grpc.NewContextWithServerTransportStream(t.Context(), stream)
		if n := testing.AllocsPerRun(1000, func() {
			stream.read = false
			answer, err := handle(e, ctx, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.(*reply).take().Free()
		}); n > 1 {
			t.Errorf("%s: %v allocations, want 1: the answer that grpc-go is handed", name, n)
		}
	}
}
