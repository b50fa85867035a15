package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// noopFlag starts this program as the stub.
const noopFlag = "noop"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench is what the sections share.
type bench struct {
	*machinery
	rounds, calls int
	// rate is that of the load on the gateway in requests a second, and span
	// how long a round of it takes.
	rate float64
	span time.Duration
}

// A section measures one thing.
type section struct {
	name    string
	measure func(ctx context.Context, b *bench) ([]row, error)
}

func sections() []section {
	return []section{
		{"calls", serverCPU},
		{"burst", burst},
		{"cores", cores},
		{"gateway", gateway},
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	stub := flags.String(noopFlag, "", "run as the stub, and write its address to this file (internal)")
	b := &bench{}
	flags.IntVar(&b.rounds, "rounds", 5, "alternating rounds; the median counts")
	flags.IntVar(&b.calls, "calls", 20000, "calls of a server per round")
	flags.Float64Var(&b.rate, "rate", 2000, "requests a second through Envoy")
	flags.DurationVar(&b.span, "span", 4*time.Second, "how long a round of the load through Envoy takes")
	only := flags.String("only", strings.Join(names, ","), "sections to measure")
	document := flags.String("write", "", "put the table into this document, between its marks, instead of printing it")
	var settings []string
	flags.Func("try", "compare the product with these options of grpc.NewServer added; may be given several times", func(s string) error {
		settings = append(settings, s)
		return nil
	})
	t := &target{}
	flags.StringVar(&t.address, "target", "", "put open-loop load on this gateway (host:port, HTTP/1.1) at -rate for -span, instead of measuring here")
	flags.StringVar(&t.host, "host", "", "with -target: the Host header; that of the target if empty")
	flags.StringVar(&t.path, "path", "/", "with -target: path and query")
	flags.StringVar(&t.access, "access-token", "", "with -target: sent in the header of this name")
	secretFile := flags.String("secret-token-file", "", "with -target: the file whose content is sent in the header secret-token")
	flags.IntVar(&t.status, "status", 200, "with -target: the status that answers must have")
	flags.IntVar(&t.connections, "connections", connections, "with -target: connections, and so requests under way")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if t.address != "" {
		if *secretFile != "" {
			raw, err := os.ReadFile(*secretFile)
			if err != nil {
				return fmt.Errorf("-secret-token-file: %w", err)
			}
			t.secret = strings.TrimSpace(string(raw))
		}
		return t.load(ctx, b.rate, b.span, stdout)
	}
	if *stub != "" {
		return serveNoop(ctx, *stub)
	}
	var chosen []section
	for name := range strings.SplitSeq(*only, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("-only: there is no section %q; there are %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, sections()[i])
	}
	if len(settings) > 0 {
		chosen = []section{{"try", func(ctx context.Context, b *bench) ([]row, error) { return trial(ctx, b, settings) }}}
	}
	report, err := b.measureAll(ctx, chosen, stderr)
	if err != nil {
		return err
	}
	if *document != "" {
		return insert(*document, report)
	}
	_, err = io.WriteString(stdout, report)
	return err
}

// measureAll measures the sections one after the other, and returns what is to
// be read: about the machine, then the table.
func (b *bench) measureAll(ctx context.Context, chosen []section, progress io.Writer) (string, error) {
	var err error
	if b.machinery, err = newMachinery(ctx, os.Getenv("ENVOY_BIN")); err != nil {
		return "", err
	}
	defer b.close()
	busy, err := loadAverage()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(progress, "building vault-authz …")
	if b.product, err = b.build(ctx, "vault-authz", ""); err != nil {
		return "", err
	}
	others, err := b.watch()
	if err != nil {
		return "", err
	}
	var rows []row
	for _, s := range chosen {
		start := time.Now()
		fmt.Fprintf(progress, "measuring %s … ", s.name)
		found, err := s.measure(ctx, b)
		if err != nil {
			fmt.Fprintln(progress)
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, found...)
		fmt.Fprintf(progress, "%.0f s\n", time.Since(start).Seconds())
	}
	share, err := others()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	describe(ctx, &out, b, busy, share)
	write(&out, rows)
	return out.String(), nil
}
