package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A budget is how often a benchmark may allocate.
type budget struct {
	pkg, pattern string
	allocations  float64
}

// budgets are those of the hot path.
func budgets() []budget {
	return []budget{
		{"envoy", "^BenchmarkReadAndRespond$/^allow$/^header_map$", 1},
		{"authz", "^Benchmark(Check|Observe)$/^(hit|absent|wrong_secret|acl_denied)$", 0},
		{"cache", "^BenchmarkHit$/^entries=1000$", 0},
		{"cache", "^BenchmarkAbsentHit$", 0},
	}
}

// smoke runs each benchmark for a moment, and fails if one allocates more than
// it may. Times are not looked at: they depend on the machine.
func smoke(ctx context.Context, out io.Writer) error {
	var errs []error
	for _, b := range budgets() {
		found, err := goTest(ctx, b.pkg, b.pattern, "100x", 1)
		if err != nil {
			return err
		}
		for _, f := range found {
			got, ok := f.values["allocs/op"]
			if !ok || got.median() > b.allocations {
				errs = append(errs, fmt.Errorf("%s: Benchmark%s allocates %g times, and may %g times", f.pkg, f.name, got.median(), b.allocations))
				continue
			}
			fmt.Fprintf(out, "ok  %s: Benchmark%s allocates %g times\n", f.pkg, f.name, got.median())
		}
	}
	return errors.Join(errs...)
}
