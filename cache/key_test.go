package cache_test

import (
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestKeysOfAnyLengthAreHeld overwrites the buffer of the caller after each lookup, and reads
// the keys again after evictions.
func TestKeysOfAnyLengthAreHeld(t *testing.T) {
	t.Parallel()
	s := newStore()
	c := open(t, config(), s.load)
	var keys []string
	for n := 1; n <= 100; n++ {
		key := strings.Repeat("k", n)
		keys = append(keys, key)
		s.set(key, answer{record: record{version: n}})
	}
	for range 3 {
		for n, key := range keys {
			buffer := []byte(key)
			wantVersion(t, c, unsafe.String(&buffer[0], len(buffer)), n+1)
			clear(buffer)
		}
		for i := 0; i < len(keys); i += 2 {
			c.Invalidate(keys[i])
		}
	}
	for i, key := range keys {
		wantVersion(t, c, key, i+1)
		if want := 1 + 3*((i+1)%2); s.loaded(key) != want {
			t.Errorf("a key of %d bytes was loaded %d times, want %d", len(key), s.loaded(key), want)
		}
	}
	held := c.Keys()
	slices.SortFunc(held, func(a, b string) int { return len(a) - len(b) })
	if !slices.Equal(held, keys) {
		t.Errorf("Keys() = %q", held)
	}
}
