package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/test/parts"
)

type options struct {
	vault, bao, envoy, service, logs string
	only                             *regexp.Regexp
	parallel                         int
	retries                          int
	flood                            int
	floodRate                        float64
	plan                             plan
	// cluster tests a cluster instead. There each measurement is repeated rounds
	// times, or until cap has passed.
	cluster          bool
	rounds           int
	cap              time.Duration
	records, outages int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Pauses of this process for garbage collection would count as latency.
	debug.SetGCPercent(800)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := options{plan: plan{steady: 5 * time.Second, fault: 6 * time.Second, recovery: 7 * time.Second, load: 1}}
	flags := flag.NewFlagSet("chaos", flag.ExitOnError)
	only := flags.String("run", "", "only the faults whose names match this expression")
	flags.StringVar(&o.vault, "vault", os.Getenv("VAULT_BIN"), "the Vault to break, as made by make tools")
	flags.StringVar(&o.bao, "bao", os.Getenv("BAO_BIN"), "the OpenBao of the cluster")
	flags.BoolVar(&o.cluster, "cluster", false, "break a cluster of three nodes instead (ten minutes)")
	flags.IntVar(&o.rounds, "rounds", 100, "repetitions of each measurement on a cluster")
	flags.DurationVar(&o.cap, "cap", 25*time.Second, "time limit of each measurement on a cluster")
	flags.StringVar(&o.service, "service", "", "the vault-authz to test, built from this module if empty")
	flags.StringVar(&o.envoy, "envoy", os.Getenv("ENVOY_BIN"), "the Envoy in front of vault-authz")
	flags.StringVar(&o.logs, "logs", "", "folder for the logs of vault-authz")
	flags.IntVar(&o.flood, "flood", 200_000, "number of random tokens in the flood at the end, 0 to skip the flood")
	flags.Float64Var(&o.floodRate, "flood-rate", 2000, "random tokens per second")
	flags.IntVar(&o.records, "records", 100_000, "records that a replica reads again during revocations, 0 to skip the revocations")
	flags.IntVar(&o.outages, "outages", 8, "number of outages during revocations")
	flags.IntVar(&o.parallel, "parallel", 2, "faults in parallel, each with its own Vault and vault-authz")
	flags.IntVar(&o.retries, "retries", 1, "repetitions of a fault during which the machine stalled")
	flags.DurationVar(&o.plan.steady, "steady", o.plan.steady, "measured time before a fault")
	flags.DurationVar(&o.plan.fault, "fault", o.plan.fault, "duration of a fault")
	flags.DurationVar(&o.plan.recovery, "recovery", o.plan.recovery, "measured time after a fault")
	flags.Float64Var(&o.plan.load, "load", o.plan.load, "factor for the traffic, see trial.go")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if o.cluster && o.bao == "" {
		return errors.New("no OpenBao for the cluster: run `make chaos-cluster`, or set BAO_BIN to the binary of `make tools`")
	}
	if !o.cluster && (o.vault == "" || o.envoy == "") {
		return errors.New("no Vault or no Envoy: run `make chaos`, or set VAULT_BIN and ENVOY_BIN to the binaries of `make tools`")
	}
	dir, err := os.MkdirTemp("", "vault-authz-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.service == "" {
		if o.service, err = parts.BuildService(ctx, dir, false); err != nil {
			return err
		}
	}
	b := binaries{vault: o.vault, bao: o.bao, service: o.service, envoy: o.envoy}
	if o.cluster {
		printClusterEnvironment(ctx, os.Stdout, b)
		return breakCluster(ctx, dir, b, o)
	}
	printEnvironment(ctx, os.Stdout, b, o.plan)
	return errors.Join(breakEverything(ctx, dir, b, o), runRevocations(ctx, dir, b, o), runFlood(ctx, dir, b, o))
}

// runRevocations revokes while a replica is busy.
func runRevocations(ctx context.Context, dir string, b binaries, o options) error {
	if o.records == 0 {
		return nil
	}
	return report(dir, "revocations", func(own string) (result, error) { return revocations(ctx, own, b, o.records, o.outages) })
}

// runFlood floods the service. Nothing else runs at that time.
func runFlood(ctx context.Context, dir string, b binaries, o options) error {
	if o.flood == 0 {
		return nil
	}
	return report(dir, "flood", func(own string) (result, error) { return flood(ctx, own, b, o.flood, o.floodRate) })
}

// report measures something in a folder of its own and prints the result.
func report(dir, name string, measure func(own string) (result, error)) error {
	own := filepath.Join(dir, name)
	if err := os.Mkdir(own, 0o700); err != nil {
		return err
	}
	r, err := measure(own)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Println()
	printResult(os.Stdout, r)
	if isBad(r) {
		return fmt.Errorf("%s: a result is not as it must be", name)
	}
	return nil
}

func breakEverything(ctx context.Context, dir string, b binaries, o options) error {
	var chosen []fault
	for _, f := range faults() {
		if o.only.MatchString(f.name) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	rows, err := tryAll(ctx, dir, b, o, chosen)
	printTable(os.Stdout, rows)
	for _, r := range rows {
		if r.bad() {
			err = errors.Join(err, fmt.Errorf("%s: a result is not as it must be", r.fault))
		}
	}
	return err
}

// tryAll tries some faults, a few in parallel, and returns the rows of those without an
// error.
func tryAll(ctx context.Context, dir string, b binaries, o options, chosen []fault) ([]row, error) {
	rows, errs := make([]row, len(chosen)), make([]error, len(chosen))
	var g errgroup.Group
	g.SetLimit(o.parallel)
	for i, f := range chosen {
		g.Go(func() error {
			own := filepath.Join(dir, strconv.Itoa(i))
			if err := os.Mkdir(own, 0o700); err != nil {
				return err
			}
			began := time.Now()
			r, err := tryAgain(ctx, own, b, o, f)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", f.name, err)
			}
			rows[i] = r
			fmt.Fprintf(os.Stderr, "chaos: %s: %s, as it must be: %t\n", f.name, time.Since(began).Round(time.Second), err == nil && !r.bad())
			for _, wrong := range r.wrong {
				fmt.Fprintf(os.Stderr, "chaos: %s: wrong allow: %s\n", f.name, wrong)
			}
			return nil
		})
	}
	err := g.Wait()
	var out []row
	for i, r := range rows {
		if errs[i] == nil {
			out = append(out, r)
		}
	}
	return out, errors.Join(append(errs, err)...)
}

// tryAgain repeats a trial with a bad result if the machine stalled. It does not repeat a
// trial with a wrong allow.
func tryAgain(ctx context.Context, dir string, b binaries, o options, f fault) (row, error) {
	for i := 0; ; i++ {
		own := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return row{}, err
		}
		r, err := try(ctx, own, b, o.plan, f, o.logs)
		if err != nil || !r.bad() || r.wrongAllows > 0 || r.stall <= stallLimit || i == o.retries {
			return r, err
		}
		fmt.Fprintf(os.Stderr, "chaos: %s: repeated, because the machine stalled for %s\n", f.name, formatDuration(r.stall))
	}
}
