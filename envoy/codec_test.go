package envoy

import (
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestTrap04MessagesThatCannotBeReadBecomeARequestThatIsDenied(t *testing.T) {
	t.Parallel()
	good, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	badUTF8 := []byte(string(good))
	badUTF8[len(badUTF8)-1] = 0xff
	tests := []struct {
		name  string
		data  []byte
		limit int
		empty bool
		cause string
	}{
		{name: "good", data: good, limit: len(good)},
		{name: "too large", data: good, limit: len(good) - 1, empty: true, cause: "too_large"},
		{name: "cut off", data: good[:len(good)-1], limit: 1 << 20, empty: true, cause: "undecodable"},
		{name: "not UTF-8", data: badUTF8, limit: 1 << 20, empty: true, cause: "undecodable"},
		{name: "garbage", data: []byte("\xff\xff\xff"), limit: 1 << 20, empty: true, cause: "undecodable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewRegistry()
			c := NewCodec(test.limit, reg).(*codec)
			calls := calls{of: newRequestShape()}
			got := calls.get()
			if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(test.data)}, got); err != nil {
				t.Fatalf("Unmarshal: %v", err)
			}
			if empty := !got.request.HTTP; empty != test.empty {
				t.Errorf("empty: got %t, want %t", empty, test.empty)
			}
			for cause, counter := range map[string]prometheus.Counter{"too_large": c.tooLarge, "undecodable": c.undecodable} {
				want := 0.0
				if cause == test.cause {
					want = 1
				}
				if n := testutil.ToFloat64(counter); n != want {
					t.Errorf("%s: counted %v, want %v", cause, n, want)
				}
			}
		})
	}
}

func TestCodecLeavesOtherServicesAlone(t *testing.T) {
	t.Parallel()
	c := NewCodec(1, prometheus.NewRegistry())
	var got healthpb.HealthCheckRequest
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer([]byte("\xff\xff"))}, &got); err == nil {
		t.Error("garbage for another service: no error")
	}
}
