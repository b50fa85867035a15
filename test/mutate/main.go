package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: mutate PACKAGE|FILE...")
		os.Exit(2)
	}
	for _, target := range os.Args[1:] {
		if err := mutate(ctx, os.Stdout, target, equivalentList); err != nil {
			fmt.Fprintf(os.Stderr, "mutate: %s: %v\n", target, err)
			os.Exit(1)
		}
	}
}

// mutate tries every change of a package, or of one of its files, and prints those with
// which no test fails and that are not equivalent.
func mutate(ctx context.Context, out io.Writer, target, list string) error {
	dir, only := target, ""
	if strings.HasSuffix(target, ".go") {
		dir, only = filepath.Split(target)
	}
	c, err := load(ctx, filepath.Clean(dir))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "mutate-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	t, err := c.build(ctx, work, only)
	if err != nil {
		return err
	}
	named, err := readEquivalents(list)
	if err != nil {
		return err
	}
	return t.run(ctx, out, target, named)
}
