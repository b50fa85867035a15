package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, process{
		args: os.Args[1:], environ: os.Environ(),
		stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code) //nolint:gocritic // stop has run
}

// process is what a command sees of the world.
type process struct {
	args, environ  []string
	stdout, stderr io.Writer
}

// Exit codes. check uses 1 for a denial.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError ends the process with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// errSilent goes into an exitError when everything has been said already.
var errSilent = errors.New("")

// run executes one command line and returns its exit code.
func run(ctx context.Context, p process) int {
	cmd := rootCommand(p)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintf(p.stderr, "vault-authz: %v\n", err)
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}
