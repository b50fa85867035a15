package envoy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestTheFastPathAgreesWithTheSchema tries the limits of the fast path: each length of a name and a
// value, each byte at each position, each order of the fields, in each of the lists.
func TestTheFastPathAgreesWithTheSchema(t *testing.T) {
	t.Parallel()
	of := newRequestSchema()
	lists := map[string]func(entry []byte) []byte{
		"headers":            func(e []byte) []byte { return httpMessage(bytesField(3, e)) },
		"header_map":         func(e []byte) []byte { return httpMessage(bytesField(13, bytesField(1, e))) },
		"context_extensions": func(e []byte) []byte { return attributes(onlyHTTP(), bytesField(10, e)) },
	}
	var entries [][]byte
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 126, 127, 128, 129, 16383, 16384} {
		a := strings.Repeat("a", n)
		entries = append(entries, entryOf(a, "v"), entryOf("policy", a), slices.Concat(textField(1, "policy"), textField(3, a)))
	}
	for n := 1; n <= 17; n++ {
		for at := range n {
			for _, c := range []string{"\x00", "@", "A", "M", "Z", "[", "`", "\x7f", "\x80", "\xc3", "\xff"} {
				s := strings.Repeat("a", at) + c + strings.Repeat("a", n-at-1)
				entries = append(entries, entryOf(s, "v"), entryOf("policy", s), slices.Concat(textField(1, "policy"), textField(3, s)))
			}
		}
	}
	name, value, raw := textField(1, "policy"), textField(2, "v"), textField(3, "r")
	for _, parts := range [][][]byte{
		{},
		{name},
		{value},
		{raw},
		{value, name},
		{raw, name},
		{name, name},
		{name, value, raw},
		{name, raw, value},
		{name, raw, textField(3, "")},
		{name, value, value},
		{name, value, varintField(1, 1)},
		{name, textField(4, "x")},
		{name, textField(2, "")},
		{name, textField(3, "")},
		{name, varintField(2, 1)},
		{varintField(1, 1), value},
		{name, {0x12}},
		{name, {0x12, 5, 'v'}},
		{{0x0a}},
		{{0x0a, 9, 'a', 0x12}},
		{{0x0a, 0x86, 0}, []byte("policy"), value},
		{name, {0x12, 0x81, 0, 'v'}},
		{name, value, {0}},
		{name, {0x12, 1, 'v', 'w'}},
		{value, value},
		{raw, value},
		{varintField(1, 1), name, value},
		// Lengths in two bytes, whose first byte is also a valid length.
		{{0x0a, 0x80, 1}, []byte(strings.Repeat("a", 127) + "\x12"), {0x12, 0x11}, []byte(strings.Repeat("v", 0x11))},
		{name, {0x12, 0x80, 0}, textField(4, strings.Repeat("x", 125))},
	} {
		entries = append(entries, slices.Concat(parts...))
	}
	for list, message := range lists {
		for _, e := range entries {
			agree(t, of, message(e))
			if len(e) < 40 {
				for end := range e {
					agree(t, of, message(e[:end]))
				}
			}
		}
		if len(entries) < 1000 {
			t.Fatalf("%s: only %d entries", list, len(entries))
		}
	}
}

// TestTheFastPathAcceptsWhatEnvoyWrites is about speed only.
func TestTheFastPathAcceptsWhatEnvoyWrites(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		of    part
		entry []byte
		plain bool
	}{
		{"a header", partHeader, entryOf("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"), true},
		{"a raw header", partRawHeader, slices.Concat(textField(1, "user-agent"), textField(3, "caf\xe9")), true},
		{"an extension", partExtension, entryOf("policy", "orders"), true},
		{"an empty value", partHeader, entryOf("tracestate", ""), true},
		{"a long value", partHeader, entryOf("cookie", strings.Repeat("c", 128)), false},
		{"a capital", partHeader, entryOf("Cookie", "c"), false},
		{"a value beyond ASCII", partHeader, entryOf("cookie", "é"), false},
		{"a raw value where there is none", partHeader, slices.Concat(textField(1, "a"), textField(3, "b")), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name, value, plain := fastPath(test.of, text(test.entry))
			if plain != test.plain {
				t.Fatalf("plain = %t, want %t", plain, test.plain)
			}
			wantName, n := protowire.ConsumeBytes(test.entry[1:])
			wantValue, _ := protowire.ConsumeBytes(test.entry[1+n+1:])
			if got, want := fmt.Sprintf("%q %q", name, value), fmt.Sprintf("%q %q", wantName, wantValue); plain && got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
