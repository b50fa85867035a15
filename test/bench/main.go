package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run does what the arguments say. Results go to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	switch {
	case o.stub != "":
		return serveNoop(ctx, o.stub)
	case o.target.address != "":
		return o.target.load(ctx, o.rates[0], o.span, stdout)
	}
	return o.measure(ctx, stdout, stderr)
}

// stubFlag starts this program as the stub.
const stubFlag = "stub"

// options are what the command line says.
type options struct {
	// stub is the file to which this program, if it is the stub, writes its address.
	stub string
	// chosen are the sections to measure.
	chosen        []section
	rounds, calls int
	// rates are those of the open loop in requests a second, and span is how long
	// a round of it takes, or the load on the target.
	rates []float64
	span  time.Duration
	// credentials is how many the section memory has the product hold.
	credentials int
	// consumers is how many the section state makes.
	consumers int
	// trials are what the product is compared with.
	trials []string
	target target
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{rates: []float64{500, 1500, 3000}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.stub, stubFlag, "", "run as the stub, and write its address to this file (internal)")
	flags.IntVar(&o.rounds, "rounds", 6, "alternating rounds; benchstat needs 6 to tell a difference from noise")
	flags.IntVar(&o.calls, "calls", 10000, "calls in a round of a closed loop")
	flags.Func("rates", "rates of the open loop in requests a second, separated by commas (default 500,1500,3000); with -target, the rate", func(s string) (err error) {
		o.rates, err = parseRates(s)
		return err
	})
	flags.DurationVar(&o.span, "span", 2*time.Second, "how long a round of the open loop takes, or the load on -target")
	flags.IntVar(&o.credentials, "credentials", shippedCapacity, "credentials that the section memory has the product hold, and that a sweep in the section idle lists")
	flags.IntVar(&o.consumers, "consumers", 100_000, "consumers, with a group each, that the section state makes, and that a start in the section idle reads")
	only := flags.String("only", "", "measure only these sections, separated by commas: "+strings.Join(sectionNames(), ", ")+"; state and idle, which take minutes on real servers, only when they are named")
	flags.Func("try", "compare the product with this change of it, in the open loop, or in open, closed and large with -only: options of grpc.NewServer ('grpc.NumStreamWorkers(4)'), a variable (GOGC=400), or another binary (/path/to/vault-authz); may be given several times", func(s string) error {
		o.trials = append(o.trials, s)
		return nil
	})
	o.target.flags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is too much: there are only flags", flags.Arg(0))
	}
	if o.rounds < 1 || o.calls < 1 || o.credentials < 1 || o.consumers < 1 {
		return nil, errors.New("-rounds, -calls, -credentials and -consumers: there must be at least one of each")
	}
	var err error
	o.chosen, err = choose(*only, len(o.trials) > 0)
	return o, err
}

func parseRates(s string) ([]float64, error) {
	var rates []float64
	for word := range strings.SplitSeq(s, ",") {
		rate, err := strconv.ParseFloat(word, 64)
		if err != nil || !(rate > 0) {
			return nil, fmt.Errorf("%q is not a rate above 0", word)
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// A bench is what the sections share.
type bench struct {
	*machinery
	options
	results io.Writer
}

// A section measures one thing.
type section struct {
	name    string
	measure func(ctx context.Context, b *bench) error
	// long is measured only when it is named.
	long bool
}

// sections are all of them, in the order of measuring.
func sections() []section {
	return []section{
		{name: "open", measure: openLoop},
		{name: "closed", measure: closedLoop},
		{name: "large", measure: largeRequests},
		{name: "memory", measure: memory},
		{name: "burst", measure: burst},
		{name: "state", measure: state, long: true},
		{name: "idle", measure: idle, long: true},
	}
}

func sectionNames() []string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// choose returns the named sections. If none is named, all but the long ones, or for a
// trial the first.
func choose(only string, tries bool) ([]section, error) {
	switch {
	case only == "" && tries:
		return sections()[:1], nil
	case only == "":
		return slices.DeleteFunc(sections(), func(s section) bool { return s.long }), nil
	}
	var chosen []section
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(sectionNames(), name)
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no section %q; there are %s", name, strings.Join(sectionNames(), ", "))
		}
		chosen = append(chosen, sections()[i])
	}
	return chosen, nil
}

// measure measures the chosen sections one after the other.
func (o *options) measure(ctx context.Context, results, progress io.Writer) error {
	m, err := newMachinery(ctx, os.Getenv("ENVOY_BIN"))
	if err != nil {
		return err
	}
	b := &bench{m, *o, results}
	defer b.close()
	b.describe(ctx)
	fmt.Fprintln(progress, "building vault-authz …")
	if b.product, err = b.build(ctx, "vault-authz", ""); err != nil {
		return err
	}
	others, err := b.watch()
	if err != nil {
		return err
	}
	for _, s := range o.chosen {
		start := time.Now()
		fmt.Fprintf(progress, "measuring %s … ", s.name)
		if err := s.measure(ctx, b); err != nil {
			fmt.Fprintln(progress)
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(progress, "%.0f s\n", time.Since(start).Seconds())
	}
	share, err := others()
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "Other programs took %.0f %% of the machine.\n", 100*share)
	if share > tooBusy {
		fmt.Fprintln(progress, "The machine was busy: take these figures for a rough idea, and measure again when it is quiet.")
	}
	return nil
}
