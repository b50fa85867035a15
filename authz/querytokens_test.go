package authz

import (
	"fmt"
	"strings"
	"testing"
)

func TestPercentEncodingIsDecodedByteByByte(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for _, format := range []string{"%%%02x", "%%%02X"} {
			encoded := fmt.Sprintf(format, c)
			for _, text := range []string{encoded, "a" + encoded, encoded + "b"} {
				want := strings.Replace(text, encoded, string([]byte{byte(c)}), 1)
				if got, ok := unescape(text, false); !ok || got != want {
					t.Errorf("%q: got %q, %t, want %q", text, got, ok, want)
				}
			}
		}
	}
	for _, broken := range []string{"%", "%4", "a%", "a%4", "%%41", "%4%", "%-1", "% 1"} {
		if got, ok := unescape(broken, false); ok {
			t.Errorf("%q: got %q, want it refused", broken, got)
		}
	}
	for _, c := range neighbours + "gG" {
		for _, broken := range []string{"%" + string(c) + "0", "%0" + string(c)} {
			if got, ok := unescape(broken, false); ok {
				t.Errorf("%q: got %q, want it refused", broken, got)
			}
		}
	}
}

func TestAPlusIsASpaceOnlyWhereItIsSaidToBe(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		plus bool
		want string
	}{
		{"a+b", true, "a b"},
		{"a+b", false, "a+b"},
		{"a+b%21", true, "a b!"},
		{"a+b%21", false, "a+b!"},
		{"%2B", true, "+"},
		{"+", true, " "},
		{"%21+", true, "! "},
		{"plain", true, "plain"},
	} {
		if got, ok := unescape(test.text, test.plus); !ok || got != test.want {
			t.Errorf("%q, plus %t: got %q, %t, want %q", test.text, test.plus, got, ok, test.want)
		}
	}
}
