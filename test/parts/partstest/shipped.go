package partstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Shipped returns a file of the folder deploy, for a test package in a folder of test.
func Shipped(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// With returns a text after replacements, given as pairs. Each old part must be in the text
// exactly once, so that a test changes no more than it says.
func With(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%q occurs %d times in the file, want 1", pairs[i], n)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}
