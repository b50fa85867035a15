package main

import (
	"fmt"
	"strings"
	"time"
)

// A figure is a value with its unit. benchstat makes a table for each unit, and
// understands ns and B.
type figure struct {
	value float64
	unit  string
}

func duration(d time.Duration, unit string) figure {
	return figure{float64(d.Nanoseconds()), unit}
}

// add writes a line in the format of Go's benchmarks, see
// https://go.dev/design/14313-benchmark-format: a line for each case and round. n is how
// many operations the figures are of, and keys are pairs of a key and its value.
func (b *bench) add(name string, n int, keys []string, figures ...figure) {
	var line strings.Builder
	line.WriteString("Benchmark" + name)
	for i := 0; i+1 < len(keys); i += 2 {
		line.WriteString("/" + keys[i] + "=" + word(keys[i+1]))
	}
	fmt.Fprintf(&line, " %d", n)
	for _, f := range figures {
		fmt.Fprintf(&line, " %.6g %s", f.value, f.unit)
	}
	fmt.Fprintln(b.results, line.String())
}

// word is a value without what ends one in the name of a benchmark.
func word(s string) string { return strings.NewReplacer(" ", "", "/", "|").Replace(s) }
