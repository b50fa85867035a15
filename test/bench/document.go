package main

import (
	"fmt"
	"os"
	"strings"
)

// The marks between which the document keeps the table.
const (
	firstMark = "<!-- figures: make bench-docs -->\n"
	lastMark  = "<!-- end of figures -->\n"
)

// insert puts the report into a document in place of the one before.
func insert(name, report string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), firstMark)
	_, after, closed := strings.Cut(rest, lastMark)
	if !ok || !closed {
		return fmt.Errorf("%s: there are no lines %q and %q to put the figures between", name, strings.TrimSpace(firstMark), strings.TrimSpace(lastMark))
	}
	return os.WriteFile(name, []byte(before+firstMark+"\n"+report+"\n"+lastMark+after), 0o644)
}
