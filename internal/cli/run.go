package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Process is the environment that a command runs in. Standard input is that of the operating
// system: it may be a terminal.
type Process struct {
	Args, Environ  []string
	Stdout, Stderr io.Writer
}

// variable returns an environment variable, "" if it is not set.
func (p Process) variable(name string) string {
	for _, v := range p.Environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
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

// orUsage gives an error without a code of its own that for wrong usage.
func orUsage(err error) error {
	var exit exitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	return exitError{exitUsage, err}
}

// errSilent goes into an exitError when the output says everything already.
var errSilent = errors.New("")

// Run executes one command line and returns its exit code.
func Run(ctx context.Context, p Process) int {
	cmd := rootCommand(p) //nolint:contextcheck // the commands have that of ExecuteContext
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintf(p.Stderr, "vault-authz: %v\n", err)
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}
