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

// alternate has each contender measured in each round, each round in another order,
// so that what the machine does otherwise meets all of them.
func alternate(contenders []contender, rounds int, measure func(*contender) error) error {
	for round := range rounds {
		for k := range contenders {
			c := &contenders[(round+k)%len(contenders)]
			if err := measure(c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
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
	if len(b.trials) == 0 {
		ours := contenders[1].server
		contenders = append(contenders,
			contender{name: "vault-authz,wrong-secret", server: ours, ask: wrongSecret},
			contender{name: "vault-authz,unknown", server: ours, ask: unknown},
			contender{name: "vault-authz,miss", server: ours, ask: fresh()})
	}
	for _, l := range []level{{2, 1}, {2, 8}, busiest()} {
		err := alternate(contenders, b.rounds, func(c *contender) error {
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

// saturate measures a round of a contender at one level.
func (b *bench) saturate(ctx context.Context, name, key string, c *contender, l level) error {
	if err := load(ctx, c.server.GRPC, l, min(b.calls, warmUp), c.ask); err != nil {
		return err
	}
	used, err := usage(c.server)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := load(ctx, c.server.GRPC, l, b.calls, c.ask); err != nil {
		return err
	}
	took := time.Since(began)
	cpu, err := used()
	b.add(name, b.calls, []string{"inflight", l.String(), key, c.name},
		figure{cpu[0] / float64(b.calls), "authorizer-CPU-ns"}, figure{float64(b.calls) / took.Seconds(), "checks/s"})
	return err
}

// usage begins to count the CPU time of processes; what it returns tells it, in
// nanoseconds, 0 for a nil process.
func usage(processes ...*server) (func() ([]float64, error), error) {
	read := func() ([]float64, error) {
		used := make([]float64, len(processes))
		for i, p := range processes {
			if p == nil {
				continue
			}
			t, err := cpuTime(p.PID())
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
