package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// warmUp is how many calls are made before anything is counted.
const warmUp = 2000

// A contender is a server with the load that is put on it.
type contender struct {
	name   string
	server *server
	ask    questions
}

// measure returns the microseconds of server CPU per call.
func measure(ctx context.Context, c contender, l level, calls int) (float64, error) {
	before, err := cpuTime(c.server.PID())
	if err != nil {
		return 0, err
	}
	if err := load(ctx, c.server.GRPC, l, calls, c.ask); err != nil {
		return 0, fmt.Errorf("%s: %w", c.name, err)
	}
	after, err := cpuTime(c.server.PID())
	return float64((after - before).Nanoseconds()) / float64(time.Microsecond) / float64(calls), err
}

// alternate measures the contenders in rounds, each round in another order, and
// returns a sample for each.
func alternate(ctx context.Context, contenders []contender, l level, rounds, calls int) ([]sample, error) {
	costs := make([]sample, len(contenders))
	for _, c := range contenders {
		if err := load(ctx, c.server.GRPC, l, min(calls, warmUp), c.ask); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for round := range rounds {
		for k := range contenders {
			i := (round + k) % len(contenders)
			cost, err := measure(ctx, contenders[i], l, calls)
			if err != nil {
				return nil, err
			}
			costs[i] = append(costs[i], cost)
		}
	}
	return costs, nil
}

// busiest is the level that goals are set for.
func busiest() level { return level{2, 32} }

// levels are the calls in flight that are measured.
func levels() []level { return []level{{2, 1}, {2, 8}, busiest()} }

// serverCPU is what a check costs the server: section (a).
func serverCPU(ctx context.Context, b *bench) ([]row, error) {
	stub, err := b.startNoop(ctx)
	if err != nil {
		return nil, err
	}
	defer b.stop(stub)
	// Misses are bounded as shipped, which would make them fast 503s.
	ours, err := b.startProduct(ctx, product{vault: "cache: {misses_per_second: 0}"})
	if err != nil {
		return nil, err
	}
	defer b.stop(ours)
	socket, err := b.startProduct(ctx, product{listen: "unix:" + filepath.Join(b.dir, "authz.sock")})
	if err != nil {
		return nil, err
	}
	defer b.stop(socket)
	contenders := []contender{
		{"noop", stub, hit},
		{"hit", ours, hit},
		{"hit over a Unix socket", socket, hit},
		{"wrong secret", ours, wrongSecret},
		{"unknown, remembered", ours, unknown},
		{"miss: one read of Vault", ours, fresh()},
	}
	var rows []row
	var carries row
	for _, l := range levels() {
		costs, err := alternate(ctx, contenders, l, b.rounds, b.calls)
		if err != nil {
			return nil, err
		}
		for i, c := range contenders {
			r := compared(fmt.Sprintf("(a) server CPU per check, %s in flight", l), c.name, costs[i], costs[0])
			if c.server == ours && i == 1 && l == busiest() {
				r = r.atMost(costs[i].over(costs[0]).median(), 0.65, "%.2f")
				carries = row{
					group: "(a) checks a second that take all of one core, " + l.String() + " in flight", name: c.name,
					value: fmt.Sprintf("%.0f", 1e6/costs[i].median()), ratio: fmt.Sprintf("%.2f", costs[0].over(costs[i]).median()),
				}
			}
			rows = append(rows, r)
		}
	}
	return append(rows, carries), nil
}

// cores is what a check costs as the server gets more cores: section (f).
func cores(ctx context.Context, b *bench) ([]row, error) {
	l := busiest()
	var contenders []contender
	for _, procs := range []int{1, 2} {
		env := fmt.Sprintf("GOMAXPROCS=%d", procs)
		stub, err := b.startNoop(ctx, env)
		if err != nil {
			return nil, err
		}
		defer b.stop(stub)
		ours, err := b.startProduct(ctx, product{env: []string{env}})
		if err != nil {
			return nil, err
		}
		defer b.stop(ours)
		contenders = append(contenders, contender{"noop, " + env, stub, hit}, contender{"hit, " + env, ours, hit})
	}
	costs, err := alternate(ctx, contenders, l, b.rounds, b.calls)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, c := range contenders {
		// Each against the same server on one core.
		rows = append(rows, compared(fmt.Sprintf("(f) server CPU per check as cores grow, %s in flight; ratio to one core", l), c.name, costs[i], costs[i%2]))
	}
	return rows, nil
}

// compared is the row of a cost in microseconds beside another.
func compared(group, name string, cost, base sample) row {
	ratios := cost.over(base)
	return row{
		group: group, name: name, value: microseconds(cost.median()),
		ratio: fmt.Sprintf("%.2f", ratios.median()), spread: ratios.spread("%.2f"),
	}
}

// microseconds writes a time with three digits or so.
func microseconds(µs float64) string {
	switch {
	case µs >= 10_000:
		return fmt.Sprintf("%.0f ms", µs/1000)
	case µs >= 1000:
		return fmt.Sprintf("%.2f ms", µs/1000)
	case µs >= 100:
		return fmt.Sprintf("%.0f µs", µs)
	}
	return strings.TrimSpace(fmt.Sprintf("%.1f µs", µs))
}
