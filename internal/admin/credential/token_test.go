package credential

import "testing"

func TestTokensAreLettersAndDigitsEquallyLikely(t *testing.T) {
	t.Parallel()
	count := map[rune]int{}
	const tokens = 2000
	for range tokens {
		token := NewToken()
		if len(token) != 32 {
			t.Fatalf("got %d characters, want 32", len(token))
		}
		for _, c := range token {
			count[c]++
		}
	}
	want := tokens * 32 / 62
	for _, c := range alphanumeric {
		if n := count[c]; n < want*3/4 || n > want*5/4 {
			t.Errorf("%q: got %d times, want about %d", c, n, want)
		}
	}
	if len(count) != 62 {
		t.Errorf("got %d characters, want 62", len(count))
	}
}
