package architecture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsIgnoredMayBeALink: a name with a slash at its end matches a folder only, and a link
// to the tools of another checkout would be committed.
func TestWhatIsIgnoredMayBeALink(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); strings.HasSuffix(line, "/") {
			t.Errorf(".gitignore: %s matches a folder and no link to one; leave out the slash at its end", line)
		}
	}
}
