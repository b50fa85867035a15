package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// noopFlag starts this program as the stub.
const noopFlag = "noop"

// options are what the command line says.
type options struct {
	// stub is the file that the stub, if this is it, writes its address to.
	stub  string
	smoke bool
	// chosen are the sections to measure.
	chosen        []section
	rounds, calls int
	// credentials is how many a process is given to hold.
	credentials int
	// consumers is how many the section state makes.
	consumers int
	// rate is that of the load on a gateway in requests a second, and span how
	// long it, or a round of it, takes.
	rate float64
	span time.Duration
	// document takes the table, empty to print it.
	document string
	target   target
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.stub, noopFlag, "", "run as the stub, and write its address to this file (internal)")
	flags.BoolVar(&o.smoke, "smoke", false, "only check that what must not allocate does not")
	flags.IntVar(&o.rounds, "rounds", 5, "alternating rounds; the median counts")
	flags.IntVar(&o.calls, "calls", 20000, "calls of a server per round")
	flags.IntVar(&o.credentials, "credentials", shippedCapacity, "credentials that the section memory has the product hold")
	flags.IntVar(&o.consumers, "consumers", 100_000, "consumers, with a group each, that the section state makes")
	flags.Float64Var(&o.rate, "rate", 1500, "requests a second through Envoy")
	flags.DurationVar(&o.span, "span", 4*time.Second, "how long a round of the load through Envoy takes, or that on -target")
	flags.StringVar(&o.document, "write", "", "put the table into this document, between its marks, instead of printing it")
	only := flags.String("only", "", "measure only these sections, separated by commas: "+strings.Join(sectionNames(), ", ")+"; state, which takes five minutes, only when it is named")
	var settings []string
	flags.Func("try", "compare the product with these options of grpc.NewServer added, with this variable set (GOGC=400), or this other binary of it (/path/to/one); may be given several times", func(s string) error {
		settings = append(settings, s)
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
	if o.chosen, err = choose(*only, settings); err != nil {
		return nil, err
	}
	return o, nil
}

// flags defines what is said of a target. The secret is not taken from the
// command line, which other users of the machine may read.
func (t *target) flags(flags *flag.FlagSet) {
	flags.StringVar(&t.address, "target", "", "put open-loop load on this gateway (host:port, HTTP/1.1) at -rate for -span, instead of measuring here")
	flags.StringVar(&t.host, "host", "", "with -target: the Host header; that of the target if empty")
	flags.StringVar(&t.path, "path", "/", "with -target: path and query")
	flags.StringVar(&t.access, "access-token", "", "with -target: sent in the header of this name")
	flags.IntVar(&t.status, "status", 200, "with -target: the status that answers must have")
	flags.IntVar(&t.connections, "connections", connections, "with -target: connections, and so requests under way")
	flags.StringVar(&t.secretFile, "secret-token-file", "", "with -target: the file whose content is sent in the header secret-token")
}

func sectionNames() []string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// choose returns the named sections, all if none is named, or the trial of
// settings if there are any.
func choose(only string, settings []string) ([]section, error) {
	if len(settings) > 0 {
		return []section{{name: "try", measure: func(ctx context.Context, b *bench) ([]row, error) { return trial(ctx, b, settings) }}}, nil
	}
	if only == "" {
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
