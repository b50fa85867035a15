package envoy

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
)

// crowd returns a request with n empty headers.
func crowd(n int) []byte {
	return httpMessage(bytesField(13, bytes.Repeat(bytesField(1), n)))
}

// A call that waits for Vault keeps its message in memory. That memory must not be much larger than
// the message: a thousand calls may wait.
func TestAMessageInSeveralPiecesTakesNoMoreThanItsSize(t *testing.T) {
	t.Parallel()
	piece := mem.SliceBuffer(make([]byte, 20<<10))
	got := whole(mem.BufferSlice{piece, piece})
	if n := cap(got.ReadOnlyData()); n > 41<<10 {
		t.Errorf("40 KiB take %d bytes", n)
	}
}

func TestASliceIsReusedUpToItsLimit(t *testing.T) {
	t.Parallel()
	used := make([]string, maxKept)
	used[0] = "of a request"
	if got := emptied(used); cap(got) != maxKept || len(got) != 0 || used[0] != "" {
		t.Errorf("of %d elements: got %d of %d, the first %q", maxKept, len(got), cap(got), used[0])
	}
	if got := emptied(make([]string, maxKept+1)); got != nil {
		t.Errorf("of %d elements: got %d, want none", maxKept+1, cap(got))
	}
}

func TestALargeRequestDoesNotOccupyMemoryForever(t *testing.T) {
	t.Parallel()
	calls := calls{of: newRequestSchema()}
	c := calls.get()
	if result := c.decode(mem.BufferSlice{mem.SliceBuffer(crowd(maxKept + 1))}); result != decoded {
		t.Fatalf("got %d", result)
	}
	c.forget()
	if n := cap(c.decoder.headers) + cap(c.decoder.rawHeaders); n > 2*maxKept {
		t.Errorf("%d elements are kept", n)
	}
}
