package envoy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// grpc-go formats requests and answers for traces and statistics.
func TestNeitherRequestNorAnswerIsVisibleInATrace(t *testing.T) {
	t.Parallel()
	calls := calls{of: newRequestSchema()}
	c := calls.get()
	c.decode(mem.BufferSlice{mem.SliceBuffer(httpMessage(textField(4, "/hidden")))})
	for _, format := range []string{"%v", "%s", "%+v"} {
		if text := fmt.Sprintf(format, c) + fmt.Sprintf(format, c.end(c.begin())); strings.Contains(text, "hidden") || text != "check requestcheck response" {
			t.Errorf("%s: got %q", format, text)
		}
		c = calls.get()
	}
}

// The answer of an interceptor passes only through the codec.
func TestOnlyAReplyIsAnAnswer(t *testing.T) {
	t.Parallel()
	c := newCodec()
	calls := calls{of: newRequestSchema()}
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
