package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A line of the log has a row that says what it is about. A message may go on behind a colon
// or a semicolon to say what to do.
func TestReferenceHasEveryLineOfTheLog(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "docs/reference/logs.md"))
	if err != nil {
		t.Fatal(err)
	}
	logged := regexp.MustCompile(`\.(?:Debug|Info|Warn|Error|Log|report)\((?:s\.loginLevel\(\), )?"([^":;]+)[":;]`)
	messages := 0
	for _, folder := range []string{"authz", "cache", "envoy", "vaultkv", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			code, err := os.ReadFile(name)
			for _, m := range logged.FindAllStringSubmatch(string(code), -1) {
				messages++
				if !strings.Contains(string(raw), "`"+m[1]+"`") {
					t.Errorf("%s: the message %q has no row in docs/reference/logs.md", name, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if messages < 60 {
		t.Errorf("%d messages, want at least 60", messages)
	}
}
