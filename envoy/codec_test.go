package envoy

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
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
		{name: "too many headers", data: crowd(maxHeaders + 1), limit: 1 << 20, empty: true, cause: "too_many_fields"},
		{name: "as many headers as are read", data: crowd(maxHeaders), limit: 1 << 20},
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
			for cause, counter := range map[string]prometheus.Counter{
				"too_large": c.tooLarge, "undecodable": c.refused[undecodable], "too_many_fields": c.refused[tooManyFields],
			} {
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

// crowd is a request with n headers that are nothing.
func crowd(n int) []byte {
	return httpMessage(bytesField(13, bytes.Repeat(bytesField(1), n)))
}

// A bug in reading must deny, as one in deciding does.
func TestTrap02APanicWhileReadingDenies(t *testing.T) {
	t.Parallel()
	c := NewCodec(1<<20, prometheus.NewRegistry()).(*codec)
	got := (&calls{}).get() // without a shape
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(httpMessage())}, got); err != nil {
		t.Fatal(err)
	}
	if got.request.HTTP {
		t.Error("the request is not the zero one")
	}
	if n := testutil.ToFloat64(c.refused[undecodable]); n != 1 {
		t.Errorf("undecodable: counted %v, want 1", n)
	}
}

// grpc-go decodes a second message before it finds that there must be only one.
func TestASecondMessageReplacesTheFirst(t *testing.T) {
	t.Parallel()
	c := NewCodec(1<<20, prometheus.NewRegistry()).(*codec)
	calls := calls{of: newRequestShape()}
	got := calls.get()
	for _, data := range [][]byte{httpMessage(textField(2, "GET")), {0xff}} {
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, got); err != nil {
			t.Fatal(err)
		}
	}
	if got.request.HTTP || got.request.Method != "" {
		t.Errorf("got %+v, want nothing of the first message", got.request)
	}
}

// A call that waits for Vault keeps its message. What it keeps must not be larger
// than the message by much: a gateway may have a thousand calls waiting.
func TestAMessageInSeveralPiecesTakesNoMoreThanItsSize(t *testing.T) {
	t.Parallel()
	piece := mem.SliceBuffer(make([]byte, 20<<10))
	got := whole(mem.BufferSlice{piece, piece})
	if n := cap(got.ReadOnlyData()); n > 41<<10 {
		t.Errorf("40 KiB take %d bytes", n)
	}
}

func TestALargeRequestDoesNotTakeUpMemoryForGood(t *testing.T) {
	t.Parallel()
	calls := calls{of: newRequestShape()}
	c := calls.get()
	if result := c.decode(mem.BufferSlice{mem.SliceBuffer(crowd(maxKept + 1))}); result != decoded {
		t.Fatalf("got %d", result)
	}
	c.forget()
	if n := cap(c.reading.headers) + cap(c.reading.rawHeaders); n > 2*maxKept {
		t.Errorf("%d elements are kept", n)
	}
}

// What grpc-go gives to traces and statistics must show nothing.
func TestNeitherRequestNorAnswerIsToBeSeenInATrace(t *testing.T) {
	t.Parallel()
	calls := calls{of: newRequestShape()}
	c := calls.get()
	c.decode(mem.BufferSlice{mem.SliceBuffer(httpMessage(textField(4, "/hidden")))})
	for _, format := range []string{"%v", "%s", "%+v"} {
		if text := fmt.Sprintf(format, c) + fmt.Sprintf(format, c.end(c.begin())); strings.Contains(text, "hidden") || text != "check requestcheck response" {
			t.Errorf("%s: got %q", format, text)
		}
		c = calls.get()
	}
}

// The codec is all that an interceptor's answer goes through.
func TestTrap01OnlyAReplyIsAnAnswer(t *testing.T) {
	t.Parallel()
	c := NewCodec(1<<20, prometheus.NewRegistry())
	calls := calls{of: newRequestShape()}
	data, err := c.Marshal(calls.get())
	if err != nil {
		t.Fatal(err)
	}
	var out authv3.CheckResponse
	if err := proto.Unmarshal(data.Materialize(), &out); err != nil {
		t.Fatal(err)
	}
	mustDeny(t, &out, http.StatusInternalServerError)
}
