package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// serverFlag starts this program as one of the servers.
const serverFlag = "serve"

func main() {
	server := flag.String(serverFlag, "", "run as a server of this kind (internal)")
	rounds := flag.Int("rounds", 5, "alternating rounds; the median counts")
	calls := flag.Int("calls", 20000, "calls per round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *server != "" {
		err = serve(ctx, *server)
	} else {
		err = compare(ctx, *rounds, *calls)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A level is how many calls are in flight, over how many connections.
type level struct{ connections, perConnection int }

func compare(ctx context.Context, rounds, calls int) error {
	cases := []struct {
		name, server string
		request      func(i int) question
	}{
		{"noop", "noop", hit},
		{"hit", "vault-authz", hit},
		{"deny (wrong secret)", "vault-authz", wrongSecret},
		{"deny (unknown, remembered)", "vault-authz", unknown},
		{"miss", "vault-authz", miss},
	}
	servers := map[string]*child{}
	for _, kind := range []string{"noop", "vault-authz"} {
		c, err := start(ctx, kind)
		if err != nil {
			return err
		}
		defer c.stop()
		servers[kind] = c
	}
	fmt.Printf("%s %s/%s, %d CPUs, %d rounds of %d calls, 20 headers; server CPU per call, median, and ratio to noop\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds, calls)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "calls in flight\t")
	for _, c := range cases {
		fmt.Fprintf(w, "%s\t", c.name)
	}
	fmt.Fprintln(w)
	for _, l := range []level{{2, 1}, {2, 8}, {2, 32}} {
		cost := make([][]float64, len(cases))
		for round := range rounds {
			for i, c := range cases {
				took, err := measure(ctx, servers[c.server], l, calls, round, c.request)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				cost[i] = append(cost[i], took)
			}
		}
		fmt.Fprintf(w, "%d × %d\t", l.connections, l.perConnection)
		base := median(cost[0])
		for i := range cases {
			fmt.Fprintf(w, "%.1f µs  %.2f\t", median(cost[i]), median(cost[i])/base)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// measure returns the microseconds of server CPU per call.
func measure(ctx context.Context, c *child, l level, calls, round int, request func(int) question) (float64, error) {
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	if err := c.load(ctx, l, calls, round, request); err != nil {
		return 0, err
	}
	after, err := c.cpu()
	if err != nil {
		return 0, err
	}
	return float64((after - before).Nanoseconds()) / 1000 / float64(calls), nil
}

// A child is a server in a process of its own, so that its CPU can be told from
// the client's.
type child struct {
	cmd     *exec.Cmd
	in      *bufio.Writer
	out     *bufio.Reader
	address string
}

func start(ctx context.Context, kind string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-"+serverFlag, kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewReader(out)}
	c.address, err = c.out.ReadString('\n')
	c.address = strings.TrimSpace(c.address)
	return c, err
}

func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// cpu asks the child for the CPU time it has used.
func (c *child) cpu() (time.Duration, error) {
	if _, err := c.in.WriteString("cpu\n"); err != nil {
		return 0, err
	}
	if err := c.in.Flush(); err != nil {
		return 0, err
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(ns), err
}
