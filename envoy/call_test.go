package envoy

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
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

// The next request is read into it: what is left of one would be taken for the other's.
func TestACallThatHasEndedHoldsNothingOfItsRequest(t *testing.T) {
	t.Parallel()
	panics := deciderFunc(func(context.Context, *authz.Request) authz.Decision { panic("in the decision") })
	request, half := marshal(t, benchRequest(true)), marshal(t, benchRequest(false))
	for name, test := range map[string]struct {
		decider Decider
		message []byte
	}{
		"allowed":         {always(allowAlice()), request},
		"denied":          {always(denyFor(authz.ReasonWrongSecret)), request},
		"panicked":        {panics, request},
		"undecodable":     {always(allowAlice()), half[:len(half)-1]},
		"too many fields": {always(allowAlice()), crowd(maxHeaders + 1)},
	} {
		s := NewService(test.decider, Options{})
		c := s.calls.get()
		c.decode(mem.BufferSlice{mem.SliceBuffer(test.message)})
		if _, err := s.answer(t.Context(), c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rest := *c
		rest.home, rest.decoder.headers, rest.decoder.rawHeaders, rest.decoder.names = nil, nil, nil, nil
		if !reflect.ValueOf(rest).IsZero() {
			t.Errorf("%s: the call holds %+v", name, rest)
		}
		for _, list := range [][]authz.Header{c.decoder.headers, c.decoder.rawHeaders} {
			if len(list) > 0 || slices.ContainsFunc(list[:cap(list)], func(h authz.Header) bool { return h != authz.Header{} }) {
				t.Errorf("%s: the call holds headers %q", name, list[:cap(list)])
			}
		}
	}
}
