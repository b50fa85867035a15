package main

import (
	"fmt"
	"slices"
)

// A sample has one value for each round.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// over divides round by round, which cancels what a round did to both.
func (s sample) over(base sample) sample {
	ratios := make(sample, min(len(s), len(base)))
	for i := range ratios {
		ratios[i] = s[i] / base[i]
	}
	return ratios
}

// plus adds round by round. Nothing counts as zero.
func (s sample) plus(more sample) sample {
	if len(s) == 0 {
		return slices.Clone(more)
	}
	sum := make(sample, min(len(s), len(more)))
	for i := range sum {
		sum[i] = s[i] + more[i]
	}
	return sum
}

// overMedian divides by the sample's own median.
func (s sample) overMedian() sample {
	ratios, median := make(sample, len(s)), s.median()
	for i := range s {
		ratios[i] = s[i] / median
	}
	return ratios
}

// spread writes the least and the greatest value.
func (s sample) spread(format string) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf(format+" … "+format, slices.Min(s), slices.Max(s))
}
