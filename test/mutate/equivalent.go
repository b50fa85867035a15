package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed runtime.txt
var runtimeSource string

//go:embed equivalent.txt
var equivalentList string

// equivalents are the keys of changes that no test can notice.
type equivalents map[string]bool

// readEquivalents reads blocks of a reason, in lines that begin with #, and its changes, as
// the program prints them.
func readEquivalents(list string) (equivalents, error) {
	e, reason := equivalents{}, false
	for i, line := range strings.Split(list, "\n") {
		switch {
		case line == "":
			reason = false
		case strings.HasPrefix(line, "#"):
			reason = true
		case !reason:
			return nil, fmt.Errorf("equivalent.txt:%d: %q has no reason above it", i+1, line)
		default:
			e[line] = true
		}
	}
	return e, nil
}
