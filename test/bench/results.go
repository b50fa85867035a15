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

// A result is what a case came to.
type result struct {
	name string
	// keys are pairs of a key and its value. The last of a case that is compared is its
	// contender.
	keys []string
	// n is how many operations the figures are of.
	n       int
	figures []figure
}

// add writes a result in the format of Go's benchmarks, see
// https://go.dev/design/14313-benchmark-format.
func (b *bench) add(r result) {
	var line strings.Builder
	line.WriteString("Benchmark" + r.name)
	for i := 0; i+1 < len(r.keys); i += 2 {
		line.WriteString("/" + r.keys[i] + "=" + word(r.keys[i+1]))
	}
	fmt.Fprintf(&line, " %d", r.n)
	for _, f := range r.figures {
		fmt.Fprintf(&line, " %.6g %s", f.value, f.unit)
	}
	fmt.Fprintln(b.results, line.String())
}

// word is a value without what ends one in the name of a benchmark.
func word(s string) string { return strings.NewReplacer(" ", "", "/", "|").Replace(s) }

// over adds the ratio of each figure to that of the first contender in the same round:
// what the machine did otherwise meets both.
func (r *result) over(first *result) {
	for i, n := 0, len(r.figures); i < n; i++ {
		for _, f := range first.figures {
			if f.unit == r.figures[i].unit && f.value > 0 {
				r.figures = append(r.figures, figure{r.figures[i].value / f.value, strings.TrimSuffix(f.unit, "-ns") + "-ratio"})
			}
		}
	}
}
