package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// shippedCapacity is how many credentials a vault object holds by default.
const shippedCapacity = 100_000

// memory is what credentials cost a running service: resident memory, garbage
// included, and CPU per hit as there are more of them. It belongs to section (c).
func memory(ctx context.Context, b *bench) ([]row, error) {
	l := busiest()
	many := b.credentials
	// With Go's own share of garbage, which counts from 32 MiB on. The garbage that
	// may gather before is there from the start, and credentials would seem to
	// take little beside it.
	ours, err := b.startProduct(ctx, product{env: []string{"GOGC=100"}, vault: fmt.Sprintf("cache: {misses_per_second: 0, ttl: 1h, capacity: %d}", max(many, shippedCapacity))})
	if err != nil {
		return nil, err
	}
	defer b.stop(ours)
	// So that what calls take in any case is not counted.
	if err := load(ctx, ours.GRPC, l, warmUp, hit); err != nil {
		return nil, err
	}
	before, err := resident(ours.PID())
	if err != nil {
		return nil, err
	}
	if err := load(ctx, ours.GRPC, l, many, among(many)); err != nil {
		return nil, err
	}
	after, err := resident(ours.PID())
	if err != nil {
		return nil, err
	}
	contenders := []contender{{"hits of one credential", ours, hit}}
	for _, n := range []int{1_000, 10_000, many} {
		if n > many {
			continue
		}
		contenders = append(contenders, contender{fmt.Sprintf("hits of %d credentials", n), ours, among(n)})
	}
	costs, err := alternate(ctx, contenders, l, b.rounds, b.calls)
	if err != nil {
		return nil, err
	}
	rows := []row{{
		group: fmt.Sprintf("(c) resident memory of a process that read %d credentials", many), name: "all of it",
		value: fmt.Sprintf("%.0f MiB", float64(after)/(1<<20)), spread: fmt.Sprintf("%.0f MiB before", float64(before)/(1<<20)),
	}}
	rows = append(rows, row{
		group: rows[0].group, name: "each credential, garbage included", value: fmt.Sprintf("%.0f B", float64(after-before)/float64(many)),
	})
	for i, c := range contenders {
		rows = append(rows, compared(fmt.Sprintf("(c) server CPU per hit with %d credentials held, %s in flight", many, l), c.name, costs[i], costs[0]))
	}
	return rows, nil
}

// resident returns the bytes of a process that are in memory.
func resident(pid int) (int64, error) { return ofStatus(pid, "VmRSS:") }

// ofStatus returns a line of the status of a process in bytes, see proc_pid_status(5).
func ofStatus(pid int, name string) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if value, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: its status does not tell %s", pid, name)
}
