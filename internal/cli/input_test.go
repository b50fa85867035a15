package cli

import (
	"errors"
	"strings"
	"testing"
)

func TestAFileOrStandardInputIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]error{"": nil, "1234": nil, "12345": errTooLong} {
		for _, from := range []string{dash, file(t, []byte(content))} {
			raw, err := readAtMost(4, strings.NewReader(content), from)
			if !errors.Is(err, want) || err == nil && string(raw) != content {
				t.Errorf("%d bytes from %s: %q, %v; want %v", len(content), from, raw, err, want)
			}
		}
	}
	if _, err := readAtMost(4, nil, "/no/such/file"); err == nil {
		t.Error("a file that is not there: no error")
	}
}
