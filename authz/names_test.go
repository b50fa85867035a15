package authz

import (
	"slices"
	"strings"
	"testing"
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

func TestAFoldedNameIsLettersAndDigitsAndElseDashes(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := byte('-')
		switch {
		case strings.IndexByte(lower+digits, byte(c)) >= 0:
			want = byte(c)
		case strings.IndexByte(upper, byte(c)) >= 0:
			want = lower[strings.IndexByte(upper, byte(c))]
		}
		if got := foldedByte(byte(c)); got != want {
			t.Errorf("%q: got %q, want %q", byte(c), got, want)
		}
	}
	if got := foldedName("X-Zo\u00eb.\u0080_9"); got != "x-zo----9" {
		t.Errorf("got %q: every character that is no letter or digit of ASCII is one dash", got)
	}
}

func TestAPlainNameIsLettersDigitsDashesAndUnderscores(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := strings.IndexByte(lower+digits+"-_", byte(c)) >= 0
		if got := plainName("a" + string([]byte{byte(c)})); got != want {
			t.Errorf("%q: got %t, want %t", byte(c), got, want)
		}
	}
}

func TestEverySpellingIsListedUpToFourSeparators(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"key": 1, "a-b": 2, "A_b-c_d-e": 1 << maxSpelledSeparators, "a-b-c-d-e-f": 2, "a-b_c-d_e-f": 3} {
		got := spellings(name)
		if len(got) != want || !slices.IsSorted(got) || !slices.Contains(got, strings.ToLower(name)) || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("%q: got %q, want %d spellings", name, got, want)
		}
		if every := 1 << strings.Count(canonicalName(name), "-"); spelledOut(name) != (want == every) {
			t.Errorf("%q: all are listed: %t", name, spelledOut(name))
		}
	}
}
