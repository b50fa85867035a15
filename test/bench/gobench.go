package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// module is that of the packages whose benchmarks are run.
const module = "github.com/vault-authz/vault-authz/"

// A benchmark is one that go test ran, round by round.
type benchmark struct {
	// pkg is the last element of the package's path, and name the benchmark's
	// without "Benchmark" and the number of processors.
	pkg, name string
	// values are the samples by unit: ns/op, B/op, allocs/op, and what the
	// benchmark reports itself.
	values map[string]sample
}

// goTest runs benchmarks of a package in rounds and returns them in the order in
// which they ran. pattern and times are what -bench and -benchtime take.
func goTest(ctx context.Context, pkg, pattern, times string, rounds int) ([]*benchmark, error) {
	var found []*benchmark
	for range rounds {
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", times,
			"-benchmem", "-count", "1", module+pkg).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, out)
		}
		if found, err = collect(found, pkg, string(out)); err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w", pkg, err)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("benchmarks of %s: none matches %q", pkg, pattern)
	}
	return found, nil
}

// collect adds what go test printed to the benchmarks of the rounds before. The
// format is that of https://go.dev/design/14313-benchmark-format.
func collect(found []*benchmark, pkg, out string) ([]*benchmark, error) {
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		// A name, how often it ran, and pairs of value and unit.
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		i := slices.IndexFunc(found, func(b *benchmark) bool { return b.pkg == pkg && b.name == name })
		if i < 0 {
			i = len(found)
			found = append(found, &benchmark{pkg: pkg, name: name, values: map[string]sample{}})
		}
		for k := 2; k < len(fields); k += 2 {
			value, err := strconv.ParseFloat(fields[k], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", lines.Text(), err)
			}
			found[i].values[fields[k+1]] = append(found[i].values[fields[k+1]], value)
		}
	}
	return found, lines.Err()
}

// own is what our own part takes, without grpc-go: section (b).
func own(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	var all []*benchmark
	for _, of := range []struct{ pkg, pattern string }{
		{"envoy", "."},
		{"authz", "^Benchmark(Check|Observe)$/^(hit|absent|wrong_secret|acl_denied)$"},
		// The others fill a large cache: they are the next section.
		{"cache", "^Benchmark(ParallelHit|AbsentHit|Miss)$"},
	} {
		found, err := goTest(ctx, of.pkg, of.pattern, "100ms", b.rounds)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for _, f := range append(all, wholeHit(all)) {
		if f == nil {
			continue
		}
		r := f.row("(b) our own part, without grpc-go", f.pkg+": "+f.name)
		if f.pkg == "all" {
			ns, allocs := f.values["ns/op"].median(), f.values["allocs/op"].median()
			r.goal, r.reached = "≤ 1.5 µs, 1 allocation (the answer, for grpc-go)", ns <= 1500 && allocs <= 1
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// wholeHit adds up the parts of a cached allow, round by round: reading the
// request and writing the answer, deciding (with the look-up in a fake source),
// looking up, counting and logging. It is nil if a part is missing.
func wholeHit(all []*benchmark) *benchmark {
	sum := &benchmark{pkg: "all", name: "a hit, from the request's bytes to the answer's", values: map[string]sample{}}
	for _, part := range [][2]string{
		{"envoy", "ReadAndRespond/allow/header_map"}, {"authz", "Check/hit/policies=1"}, {"authz", "Observe/hit"}, {"cache", "ParallelHit"},
	} {
		i := slices.IndexFunc(all, func(b *benchmark) bool { return b.pkg == part[0] && b.name == part[1] })
		if i < 0 {
			return nil
		}
		for _, unit := range []string{"ns/op", "allocs/op"} {
			sum.values[unit] = sum.values[unit].plus(all[i].values[unit])
		}
	}
	return sum
}

// row tells time and allocations.
func (f *benchmark) row(group, name string) row {
	ns, allocs := f.values["ns/op"], f.values["allocs/op"]
	return row{
		group: group, name: name, value: fmt.Sprintf("%s, %.0f allocations", nanoseconds(ns.median()), allocs.median()),
		spread: ns.spread("%.0f") + " ns",
	}
}

func nanoseconds(ns float64) string {
	if ns < 1000 {
		return fmt.Sprintf("%.0f ns", ns)
	}
	return fmt.Sprintf("%.2f µs", ns/1000)
}

// lookup is what a look-up takes with more and more credentials, and the memory
// of each: section (c).
func lookup(ctx context.Context, b *bench) ([]row, error) {
	found, err := goTest(ctx, "cache", "^Benchmark(Hit|Scale)$", "200ms", b.rounds)
	if err != nil {
		return nil, err
	}
	rows, err := scale(found)
	if err != nil {
		return nil, err
	}
	// Once a round: a second one in the same process would find the heap of the
	// first.
	found, err = goTest(ctx, "cache", "^BenchmarkMemory$", "1x", b.rounds)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		bytes := f.values["B/entry"]
		r := row{group: "(c) memory of a cached credential, live heap", name: f.name, value: fmt.Sprintf("%.0f B", bytes.median()), spread: bytes.spread("%.0f")}
		rows = append(rows, r.atMost(bytes.median(), 600, "%.0f B"))
	}
	return rows, nil
}

// scale compares benchmarks called GROUP/entries=N with that of a thousand
// entries in the same group.
func scale(found []*benchmark) ([]row, error) {
	const few, many = 1_000, 1_000_000
	titles := map[string]string{
		"Hit":       "(c) look-up of a cached credential, each in turn",
		"Scale/all": "(c) look-up of a cached credential, each in turn",
		"Scale/few": "(c) look-up of a cached credential, a thousand of them in turn",
	}
	base := map[string]sample{}
	for _, f := range found {
		if group, n, ok := entries(f); ok && n == few {
			base[group] = f.values["ns/op"]
		}
	}
	var rows []row
	reached := false
	for _, f := range found {
		group, n, ok := entries(f)
		if !ok || n < few || len(base[group]) == 0 {
			continue
		}
		title, known := titles[group]
		if !known {
			return nil, fmt.Errorf("benchmark %s: nobody knows what it measures; name it in titles", f.name)
		}
		ns := f.values["ns/op"]
		ratios := ns.over(base[group])
		r := row{group: title, name: fmt.Sprintf("%d held", n), value: nanoseconds(ns.median()), ratio: fmt.Sprintf("%.2f", ratios.median()), spread: ratios.spread("%.2f")}
		if n == many {
			reached = true
			r = r.atMost(ratios.median(), 1.5, "%.1f")
		}
		rows = append(rows, r)
	}
	if !reached {
		return nil, fmt.Errorf("no benchmark of the cache is called GROUP/entries=%d beside one with entries=%d", many, few)
	}
	return rows, nil
}

func entries(f *benchmark) (group string, n int, ok bool) {
	group, count, ok := strings.Cut(f.name, "/entries=")
	n, err := strconv.Atoi(count)
	return group, n, ok && err == nil
}
