package vaultkv

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestABodyIsReadToItsEndOrNotAtAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	long := strings.Repeat("0123456789", 300)
	for _, test := range []struct {
		name  string
		body  io.Reader
		size  int64
		bound int64
		want  string
		err   error
	}{
		{"empty", strings.NewReader(""), 0, 10, "", nil},
		{"as long as allowed", strings.NewReader("0123456789"), 10, 10, "0123456789", nil},
		{"of unknown size", strings.NewReader(long), -1, 1 << 20, long, nil},
		{"in small parts", iotest.OneByteReader(strings.NewReader(long)), -1, 1 << 20, long, nil},
		{"with its end in the last part", iotest.DataErrReader(strings.NewReader(long)), int64(len(long)), 1 << 20, long, nil},
		{"longer than it said", strings.NewReader(long), 10, 1 << 20, long, nil},
		{"said to be too long", strings.NewReader(""), 11, 10, "", errTooLarge},
		{"too long by a byte", strings.NewReader("0123456789x"), -1, 10, "", errTooLarge},
		{"much too long", strings.NewReader(long), -1, 1000, "", errTooLarge},
		{"broken", io.MultiReader(strings.NewReader("0123"), iotest.ErrReader(broken)), 10, 10, "", broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{Body: io.NopCloser(test.body), ContentLength: test.size}
			if err := readWhole(resp, test.bound, nil); !errors.Is(err, test.err) {
				t.Fatalf("readWhole = %v, want %v", err, test.err)
			}
			if test.err != nil {
				return
			}
			all, err := wholeBody(resp)
			again, readErr := io.ReadAll(resp.Body)
			if err != nil || readErr != nil || string(all) != test.want || string(again) != test.want || string(peek(resp)) != test.want {
				t.Errorf("the body is %q (%v), then %q (%v), want %q", all, err, again, readErr, test.want)
			}
		})
	}
}

// Answers hold secrets, and the memory is used for the answers to other requests.
func TestABufferIsClearedBeforeItIsUsedAgain(t *testing.T) {
	t.Parallel()
	var all buffers
	b := all.get()
	if _, err := b.read(iotest.OneByteReader(strings.NewReader(strings.Repeat("s3cret", 500))), -1, 1<<20); err != nil {
		t.Fatal(err)
	}
	memory := b.memory[:cap(b.memory)]
	all.put(b)
	if bytes.Contains(memory, []byte("s3cret")) || len(b.memory) != 0 || b.used {
		t.Errorf("the buffer came back with %d bytes of %q, used: %t", len(b.memory), memory, b.used)
	}
	large := &buffer{memory: make([]byte, 0, maxKept+1)}
	all.put(large)
	if got := all.get(); got == large {
		t.Error("a large buffer is kept")
	}
}

func TestAGrowingBufferLeavesNoCopyBehind(t *testing.T) {
	t.Parallel()
	b := &buffer{memory: append(make([]byte, 0, 8), "s3cret"...)}
	before := b.memory
	b.grow(100)
	if string(b.memory) != "s3cret" || cap(b.memory) < 106 || string(before) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q with room for %d, and %q left behind", b.memory, cap(b.memory), before)
	}
}

// The answer of the first address may have to be returned after all.
func TestABufferIsUsedForOneAnswerOnly(t *testing.T) {
	t.Parallel()
	into := new(buffer)
	first := &http.Response{Body: io.NopCloser(strings.NewReader("first")), ContentLength: 5}
	second := &http.Response{Body: io.NopCloser(strings.NewReader("other")), ContentLength: 5}
	for _, resp := range []*http.Response{first, second} {
		if err := readWhole(resp, 100, into); err != nil {
			t.Fatal(err)
		}
	}
	if string(peek(first)) != "first" || string(peek(second)) != "other" || string(into.memory) != "first" {
		t.Errorf("the answers are %q and %q, the buffer has %q", peek(first), peek(second), into.memory)
	}
}
