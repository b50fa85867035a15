package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
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

// run does what the arguments say. Figures go to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	switch {
	case o.stub != "":
		return serveNoop(ctx, o.stub)
	case o.target.address != "":
		return o.target.load(ctx, o.rate, o.span, stdout)
	case o.smoke:
		return smoke(ctx, stdout)
	}
	report, err := o.measureAll(ctx, stderr)
	if err != nil {
		return err
	}
	if o.document != "" {
		return insert(o.document, report)
	}
	_, err = io.WriteString(stdout, report)
	return err
}

// A bench is what the sections share.
type bench struct {
	*machinery
	options
}

// A section measures one thing.
type section struct {
	name    string
	measure func(ctx context.Context, b *bench) ([]row, error)
	// long is measured only when it is named.
	long bool
}

// sections are all of them, in the order of the table.
func sections() []section {
	return []section{
		{name: "calls", measure: serverCPU},
		{name: "own", measure: own},
		{name: "lookup", measure: lookup},
		{name: "memory", measure: memory},
		{name: "gateway", measure: gateway},
		{name: "burst", measure: burst},
		{name: "cores", measure: cores},
		{name: "state", measure: state, long: true},
	}
}

// measureAll measures the chosen sections one after the other, and returns what
// is to be read: about the machine, then the table.
func (o *options) measureAll(ctx context.Context, progress io.Writer) (string, error) {
	busy, err := loadAverage()
	if err != nil {
		return "", err
	}
	m, err := newMachinery(ctx, os.Getenv("ENVOY_BIN"))
	if err != nil {
		return "", err
	}
	b := &bench{m, *o}
	defer b.close()
	// Before the build, since the tree may change while it is measured.
	built := commit(ctx)
	fmt.Fprintln(progress, "building vault-authz …")
	if b.product, err = b.build(ctx, "vault-authz", ""); err != nil {
		return "", err
	}
	others, err := b.watch()
	if err != nil {
		return "", err
	}
	var rows []row
	for _, s := range o.chosen {
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
	describe(ctx, &out, b, built, busy, share)
	write(&out, rows)
	return out.String(), nil
}
