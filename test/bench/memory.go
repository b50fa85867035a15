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
// included, and CPU per hit as there are more of them.
func memory(ctx context.Context, b *bench) error {
	l, many := busiest(), b.credentials
	// With Go's own share of garbage, which counts from 32 MiB on. The garbage that
	// may gather before is there from the start, and credentials would seem to
	// take little beside it.
	ours, err := b.startProduct(ctx, product{env: []string{"GOGC=100"}, vault: fmt.Sprintf("cache: {misses_per_second: 0, ttl: 1h, capacity: %d}", max(many, shippedCapacity))})
	if err != nil {
		return err
	}
	defer b.stop(ours)
	// So that what calls take in any case is not counted.
	if err := load(ctx, ours.GRPC, l, warmUp, hit); err != nil {
		return err
	}
	before, err := resident(ours.PID())
	if err != nil {
		return err
	}
	if err := load(ctx, ours.GRPC, l, many, among(many)); err != nil {
		return err
	}
	after, err := resident(ours.PID())
	if err != nil {
		return err
	}
	b.add(result{name: "Resident", n: 1, keys: []string{"held", strconv.Itoa(many)}, figures: []figure{
		{float64(after), "resident-B"}, {float64(after-before) / float64(many), "resident-B/credential"},
	}})
	contenders := []contender{{name: "1", server: ours, ask: hit}}
	for n := 1_000; n < many; n *= 10 {
		contenders = append(contenders, contender{name: strconv.Itoa(n), server: ours, ask: among(n)})
	}
	contenders = append(contenders, contender{name: strconv.Itoa(many), server: ours, ask: among(many)})
	return b.alternate(contenders, func(c *contender) ([]result, error) {
		return b.saturate(ctx, "HitsAmong", "credentials", c, l)
	})
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
