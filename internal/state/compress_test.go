package state

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzCompressedTextIsTheTextAgain(f *testing.F) {
	f.Add([]byte(""), []byte("{}"))
	f.Add([]byte("username=alice"), []byte(`{"id":"`+anID+`","username":"alice","tags":["a","a"]}`))
	f.Add([]byte("abcd"), bytes.Repeat([]byte("abcd"), 100))
	f.Add([]byte{0x80, 0xff}, bytes.Repeat([]byte{0xff}, 1000))
	f.Fuzz(func(t *testing.T, window, text []byte) {
		compressed := compress(nil, bytes.Clone(window), text)
		if got := decompress(bytes.Clone(window), string(compressed)); !bytes.Equal(got, text) {
			t.Errorf("got %q, want %q", got, text)
		}
		if most := len(text) + len(text)/maxLiteral + 1; len(compressed) > most {
			t.Errorf("%d bytes became %d, want %d at the most", len(text), len(compressed), most)
		}
	})
}

func TestTextIsCompressedToLiteralsAndRepeats(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, window, text, want string
	}{
		{"nothing", "abcd", "", ""},
		{"a text that is new", "", "abcd", "\x03abcd"},
		{"a literal of the longest length and one more", "", literal(129), "\x7f" + literal(129)[:128] + "\x00" + literal(129)[128:]},
		{"the shortest repeat, from the beginning of the window to the end of the text", "abcd", "abcd", "\x80\x00"},
		{"a repeat that is too short", "abc", "abc", "\x02abc"},
		{"a repeat between literals", "abcdefgh", "xyefghz", "\x01xy\x80\x04\x00z"},
		{"a repeat of the text itself", "", "abcdeabcde", "\x04abcde\x81\x00"},
		{"a repeat of what it repeats", "", strings.Repeat("a", 100), "\x00a\xdf\x00"},
		{"the longest repeat, and another one far in the text", "", strings.Repeat("a", 136), "\x00a\xff\x00\x80\x83\x01"},
		{"the nearest of two repeats", "abcd-abcd-", "abcd", "\x80\x05"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := string(compress([]byte("head"), []byte(tt.window), []byte(tt.text))); got != "head"+tt.want {
				t.Errorf("got %q, want it after the head: %q", got, tt.want)
			}
			if got := string(decompress([]byte(tt.window), tt.want)); got != tt.text {
				t.Errorf("decompressed to %q, want %q", got, tt.text)
			}
		})
	}
}

// literal returns n bytes in which no four come twice.
func literal(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(i)
	}
	return string(text)
}
