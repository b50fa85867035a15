package main

import (
	"context"
	"fmt"
	"time"
)

// A contender is a server with the requests that are put to it.
type contender struct {
	name string
	// server is what decides, nil for Envoy alone.
	server *server
	ask    questions
	// key is the one key of Envoy's own filter, empty for none.
	key string
	// listener is where Envoy takes requests for it.
	listener string
}

// alternate measures each contender in each round, each round in another order, so that
// what the machine does otherwise meets all of them. It writes the results of a round at
// its end, with their ratios to those of the first contender.
func (b *bench) alternate(contenders []contender, measure func(*contender) ([]result, error)) error {
	for round := range b.rounds {
		found := make([][]result, len(contenders))
		for k := range contenders {
			i := (round + k) % len(contenders)
			var err error
			if found[i], err = measure(&contenders[i]); err != nil {
				return fmt.Errorf("%s: %w", contenders[i].name, err)
			}
		}
		for i := range found {
			for k := range found[i] {
				r := found[i][k]
				r.over(&found[0][k])
				b.add(r)
			}
		}
	}
	return nil
}

// warmUp is how many calls are made before anything is counted.
const warmUp = 1000

// closedLoop is what a check costs a server that is kept busy: so many calls are in
// flight all the time.
func closedLoop(ctx context.Context, b *bench) error {
	// Misses are bounded as shipped, which would make them fast 503s.
	contenders, stop, err := b.contenders(ctx, product{vault: "cache: {misses_per_second: 0}"})
	defer stop()
	if err != nil {
		return err
	}
	misses := fresh()
	for _, c := range contenders {
		if c.name != "noop" {
			contenders = append(contenders, contender{name: c.name + ",miss", server: c.server, ask: misses})
		}
	}
	if len(b.trials) == 0 {
		ours := contenders[1].server
		contenders = append(contenders,
			contender{name: "vault-authz,wrong-secret", server: ours, ask: wrongSecret},
			contender{name: "vault-authz,unknown", server: ours, ask: unknown})
	}
	for _, l := range []level{{2, 1}, {2, 8}, busiest()} {
		err := b.alternate(contenders, func(c *contender) ([]result, error) {
			return b.saturate(ctx, "Closed", "server", c, l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// busiest is the level of a server that has all that it can do.
func busiest() level { return level{2, 32} }

// saturate measures a contender at one level.
func (b *bench) saturate(ctx context.Context, name, key string, c *contender, l level) ([]result, error) {
	if err := load(ctx, c.server.GRPC, l, min(b.calls, warmUp), c.ask); err != nil {
		return nil, err
	}
	figures, err := b.busy(ctx, c, l, b.calls, c.ask)
	return []result{{name: name, n: b.calls, keys: []string{"inflight", l.String(), key, c.name}, figures: figures}}, err
}

// busy puts load on a contender, and returns the CPU of a check and how many there were in
// a second.
func (b *bench) busy(ctx context.Context, c *contender, l level, calls int, ask questions) ([]figure, error) {
	used, err := usage(c.server)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := load(ctx, c.server.GRPC, l, calls, ask); err != nil {
		return nil, err
	}
	took := time.Since(began)
	cpu, err := used()
	return []figure{{cpu[0] / float64(calls), "authorizer-CPU-ns"}, {float64(calls) / took.Seconds(), "checks/s"}}, err
}

// usage begins to count the CPU time of servers; what it returns tells it, in
// nanoseconds.
func usage(servers ...*server) (func() ([]float64, error), error) {
	read := func() ([]float64, error) {
		used := make([]float64, len(servers))
		for i, s := range servers {
			t, err := cpuTime(s.PID())
			if err != nil {
				return nil, err
			}
			used[i] = float64(t.Nanoseconds())
		}
		return used, nil
	}
	before, err := read()
	return func() ([]float64, error) {
		after, err := read()
		for i := range after {
			after[i] -= before[i]
		}
		return after, err
	}, err
}
